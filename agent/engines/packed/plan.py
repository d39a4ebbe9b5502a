"""A network at one setting of the knobs, as closures over packed weights; each is called once per pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows
from torch import Tensor

from agent.engines.fusion import Call, Layer
from agent.engines.packed import kernels
from agent.engines.packed.forms import VIEWS, Arithmetic, Form, PlannedStep, call_dtype, convert, split
from agent.engines.quantization import Grid
from agent.models.graph import Argument, BatchSize, Ref, Weight

Values = list[Any]
"""One pass's tensors by slot, None before they are computed and after their last reader; the last entry is the
number of samples."""

Run = Callable[[Values], None]
Pack = Callable[[Layer, Arithmetic, "kernels.QuantizedForm | None"], "kernels.Packed"]


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """A segment ready to run. `computed` names the value each run writes, None for housekeeping; `empty` are the
    slots after the input's; `packed` keeps the weights alive."""

    name: str
    runs: tuple[Run, ...]
    computed: tuple[str | None, ...]
    slots: Mapping[str, int]
    output_slot: int
    empty: tuple[None, ...]
    packed: tuple[kernels.Packed, ...]

    @property
    def weights_bytes(self) -> int:
        """Bytes of its packed weights."""
        return sum(packed.weights_bytes for packed in self.packed)

    def __call__(self, x: Tensor) -> Tensor:
        """(samples, ...) to (samples, ...). The input may be written over."""
        values: Values = [x, *self.empty]
        values.append(len(x))
        for run in self.runs:
            run(values)
        output: Tensor = values[self.output_slot]
        return output

    def watched(self, x: Tensor, watch: Callable[[str, Tensor], None]) -> Tensor:
        """The same, showing every value as it is computed."""
        values: Values = [x, *self.empty]
        values.append(len(x))
        for run, computed in zip(self.runs, self.computed, strict=True):
            run(values)
            if computed is not None:
                watch(computed, values[self.slots[computed]])
        output: Tensor = values[self.output_slot]
        return output


class SegmentPlanner:
    """Binds the steps of one segment to slots and kernels."""

    def __init__(
        self,
        forms: Mapping[str, Form],
        source_grids: Mapping[str, Grid],
        weights: Callable[[str], Tensor],
        pack: Pack,
        owned_input: bool,
    ) -> None:
        """`source_grids` are those on which float values are put before an int8 layer reads them."""
        self._forms = forms
        self._source_grids = source_grids
        self._weights = weights
        self._pack = pack
        self._owned_input = owned_input

    def plan(self, name: str, input_name: str, steps: Sequence[PlannedStep], output_form: Form) -> SegmentPlan:
        """The segment's plan; its output is brought to `output_form`."""
        slots = {input_name: 0} | {step.output: index + 1 for index, step in enumerate(steps)}
        last_reader = {source: index for index, step in enumerate(steps) for source in step.sources}
        viewed = {
            source
            for step in steps
            if isinstance(step.step, Call) and step.step.node.operator in VIEWS
            for source in (*step.sources, step.output)
        }
        runs: list[Run] = []
        computed: list[str | None] = []
        layers: list[kernels.Packed] = []
        for index, step in enumerate(steps):
            dead = [slots[source] for source in dict.fromkeys(step.sources) if last_reader[source] == index]
            if isinstance(step.step, Layer):
                residual = step.sources[1] if len(step.sources) > 1 else None
                own = (
                    residual is not None
                    and last_reader[residual] == index
                    and residual not in viewed
                    and residual != step.sources[0]
                    and (residual != input_name or self._owned_input)
                )
                run, packed = self._layer(step, step.step, slots, own)
                layers.append(packed)
            else:
                run = self._call(step, step.step, slots)
            runs.append(run)
            computed.append(step.output)
            if dead:
                runs.append(_dropping(dead))
                computed.append(None)
        last = steps[-1].output
        if self._forms[last] != output_form:
            have, slot = self._forms[last], slots[last]
            runs.append(_converting(slot, have, output_form))
            computed.append(None)
        empty = (None,) * (len(slots) - 1)
        return SegmentPlan(name, tuple(runs), tuple(computed), slots, slots[last], empty, tuple(layers))

    def _layer(
        self, planned: PlannedStep, layer: Layer, slots: Mapping[str, int], own: bool
    ) -> tuple[Run, kernels.Packed]:
        have = self._forms[planned.sources[0]]
        out_form = self._forms[planned.output]
        residual_have = self._forms[planned.sources[1]] if len(planned.sources) > 1 else None
        residual_slot = slots[planned.sources[1]] if len(planned.sources) > 1 else None
        source_slot, output_slot = slots[planned.sources[0]], slots[planned.output]
        if planned.arithmetic is Arithmetic.INT8:
            want: Form = self._source_grid(planned)
            inner: Form = out_form if planned.emits_codes else torch.float32
            fused = planned.emits_codes
        else:
            want = torch.bfloat16 if planned.arithmetic is Arithmetic.BF16 else torch.float32
            inner = want
            fused = _fuses(layer)
        kept = layer if fused else split(layer)
        residual_want = inner if residual_have is not None else None
        if isinstance(inner, Grid) and isinstance(residual_have, Grid):
            residual_want = residual_have
        form = None
        if planned.arithmetic is Arithmetic.INT8:
            assert isinstance(want, Grid)  # noqa: S101 - by _source_grid
            form = kernels.QuantizedForm(
                want,
                inner if isinstance(inner, Grid) else None,
                residual_want if isinstance(residual_want, Grid) else None,
            )
        packed = self._pack(kept, planned.arithmetic, form)
        kernel = packed.run
        after = None if fused else _after(layer)
        in_place = planned.arithmetic is Arithmetic.INT8 and fused

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

    def _source_grid(self, planned: PlannedStep) -> Grid:
        form = self._forms[planned.sources[0]]
        return form if isinstance(form, Grid) else self._source_grids[planned.sources[0]]

    def _call(self, planned: PlannedStep, call: Call, slots: Mapping[str, int]) -> Run:
        output_slot = slots[planned.output]
        out_form = self._forms[planned.output]
        if isinstance(out_form, Grid):
            wants: dict[str, Form] = dict.fromkeys(planned.sources, out_form)
            computed: Form = out_form
        else:
            computed = call_dtype(planned, self._forms)
            wants = dict.fromkeys(planned.sources, computed)
        node = call.node
        by_ref = dict(zip(call.sources, planned.sources, strict=True))
        haves = {source: self._forms[source] for source in planned.sources}
        weights = {leaf.weight: self._weights(leaf.weight) for leaf in node.leaves() if isinstance(leaf, Weight)}
        function = _function(node.operator, isinstance(out_form, Grid))

        def resolve(argument: Argument, values: Values) -> object:
            match argument:
                case Ref(name):
                    source = by_ref[name]
                    return convert(values[slots[source]], haves[source], wants[source])
                case Weight(name):
                    return weights[name]
                case BatchSize():
                    return values[-1]
                case tuple():
                    return [resolve(item, values) for item in argument]
                case _:
                    return argument

        def run(values: Values) -> None:
            args = [resolve(argument, values) for argument in node.args]
            kwargs = {key: resolve(argument, values) for key, argument in node.kwargs.items()}
            y = function(*args, **kwargs)
            values[output_slot] = y if computed == out_form else convert(y, computed, out_form)

        return run


def _function(operator: str, on_codes: bool) -> Callable[..., Tensor]:
    if operator == "aten.view.default":
        # Values are channels last here, where a view may not exist.
        return torch.reshape
    if operator == "aten.max_pool2d.default" and on_codes:
        return _max_pool_codes
    function: Callable[..., Tensor] = attrgetter(operator)(torch.ops)
    return function


def _max_pool_codes(
    x: Tensor,
    kernel: list[int],
    stride: list[int] | tuple[int, ...] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
) -> Tensor:
    sizes = [list(size) * (2 // len(size)) for size in (kernel, stride or kernel, padding, dilation)]
    return kernels.max_pool_codes(x, *sizes)


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


def _dropping(slots: Sequence[int]) -> Run:
    def drop(values: Values) -> None:
        for slot in slots:
            values[slot] = None

    return drop


def _converting(slot: int, have: Form, want: Form) -> Run:
    def change(values: Values) -> None:
        x = values[slot]
        values[slot] = convert(x, have, want)

    return change
