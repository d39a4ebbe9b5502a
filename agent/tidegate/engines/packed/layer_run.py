"""A layer bound to its kernel, and what its kernel can't take in bound behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows
from torch import Tensor

from tidegate.engines.fusion import Layer
from tidegate.engines.packed import kernels
from tidegate.engines.packed.forms import Arithmetic, Form, PlannedStep, convert, split
from tidegate.engines.packed.packing import Kind, Packer
from tidegate.engines.packed.slots import Run, Values
from tidegate.engines.quantization import Grid


@dataclass(frozen=True, slots=True)
class LayerBinder:
    """`source_grids` are those on which float values are put before an int8 layer reads them."""

    forms: Mapping[str, Form]
    source_grids: Mapping[str, Grid]
    packer: Packer

    def bind(self, planned: PlannedStep, slots: Mapping[str, int], own: bool) -> tuple[Run, kernels.Packed]:
        """What computes the layer; `own` tells that its residual may be written over."""
        layer = planned.step
        assert isinstance(layer, Layer)  # noqa: S101 - by the only caller
        have = self.forms[planned.sources[0]]
        out_form = self.forms[planned.output]
        residual_have = self.forms[planned.sources[1]] if len(planned.sources) > 1 else None
        residual_slot = slots[planned.sources[1]] if len(planned.sources) > 1 else None
        source_slot, output_slot = slots[planned.sources[0]], slots[planned.output]
        kind = self.packer.kind(planned)
        if planned.arithmetic is Arithmetic.INT8:
            want: Form = have if isinstance(have, Grid) else self.source_grids[planned.sources[0]]
            inner: Form = out_form if planned.emits_codes else torch.float32
            fused = planned.emits_codes
        else:
            want = torch.bfloat16 if planned.arithmetic is Arithmetic.BF16 else torch.float32
            inner = want
            fused = _fuses(layer) and kind is Kind.PACKED
        residual_want = inner if residual_have is not None else None
        if isinstance(inner, Grid) and isinstance(residual_have, Grid):
            residual_want = residual_have
        in_place = fused and residual_slot is not None and planned.arithmetic is Arithmetic.INT8
        packed = self.packer.pack(
            layer if fused else split(layer),
            planned.arithmetic,
            kind,
            _quantized_form(want, inner, residual_want),
            writes_over=fused and own,
        )
        kernel = packed.run
        after = None if fused else _after(layer)

        def run(values: Values) -> None:
            x = values[source_slot]
            if have != want:
                x = convert(x, have, want)
            residual = None
            if residual_slot is not None and residual_have is not None and residual_want is not None:
                residual = values[residual_slot]
                if residual_have != residual_want:
                    residual = convert(residual, residual_have, residual_want)
                elif in_place and not own:
                    residual = residual.clone()
            y = kernel(x, residual if after is None else None)
            if after is not None:
                y = after(y, residual)
            if inner != out_form:
                y = convert(y, inner, out_form)
            values[output_slot] = y

        def plain(values: Values) -> None:
            values[output_slot] = kernel(values[source_slot], None)

        simple = have == want and residual_slot is None and after is None and inner == out_form
        return (plain if simple else run), packed


def _quantized_form(want: Form, inner: Form, residual: Form | None) -> kernels.QuantizedForm | None:
    if not isinstance(want, Grid):
        return None
    return kernels.QuantizedForm(
        want, inner if isinstance(inner, Grid) else None, residual if isinstance(residual, Grid) else None
    )


def _fuses(layer: Layer) -> bool:
    """Whether the float kernel takes everything that was fused: after a sum only ReLU, in convolutions."""
    if layer.residual is None or layer.activation is None:
        return True
    return layer.window is not None and layer.activation.kind == "relu"


def _after(layer: Layer) -> Callable[[Tensor, Tensor | None], Tensor]:
    """What follows a kernel that could not take it in."""
    activation = layer.activation

    def after(y: Tensor, residual: Tensor | None) -> Tensor:
        if residual is not None:
            y = y.add_(residual)
        if activation is None:
            return y
        match activation.kind:
            case "relu":
                return y.relu_()
            case "hardtanh":
                return y.clamp_(*activation.scalars)
            case "swish":
                return F.silu(y, inplace=True)
            case "sigmoid":
                return y.sigmoid_()
            case _:
                return F.gelu(y, approximate=activation.algorithm or "none")

    return after
