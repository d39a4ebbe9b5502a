"""oneDNN's prepacked kernels: the only place that touches torch's private operators.

They crash the process on arguments they don't expect (a stride of 0 raises SIGFPE), so everything is checked here
first, and `probe` runs each kind once in a child process before it is offered. Written against torch 2.13, whose
own compiler emits the same calls (torch/_inductor/fx_passes/mkldnn_fusion.py, quantization.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.fusion import Activation, Layer, Window
from tidegate.engines.quantization import Grid, QuantizedWeight

Kernel = Callable[[Tensor, Tensor | None], Tensor]
"""Layer input and residual to layer output."""

QUANTIZED_CONV_ACTIVATIONS = frozenset({None, "relu", "hardtanh", "swish"})
QUANTIZED_LINEAR_ACTIVATIONS = frozenset({None, "relu", "gelu"})
_MAX_SIZE = 2**31 - 1


class KernelRefused(UnsupportedPoint):
    """The layer is nothing this kernel may be called with; the message says why."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Packed:
    """A kernel bound to its packed weights, and how many bytes those take."""

    run: Kernel
    weights_bytes: int


def pack_float(
    layer: Layer, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, writes_over: bool = False
) -> Packed:
    """A layer in fp32 or bf16: input, residual and output have that dtype, convolutions channels last.

    With `writes_over` a convolution's sum is written over the residual, which must be nobody else's. Raises
    KernelRefused.
    """
    _check(layer, weight, bias)
    weight = weight.to(dtype)
    bias = None if bias is None else bias.to(dtype)
    held = weight.nbytes + (0 if bias is None else bias.nbytes)
    kind, scalars, algorithm = _unary(layer.activation)
    if layer.window is None:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001 - see the module's docstring
        return Packed(_float_linear(packed, bias, layer), held)
    geometry = _geometry(layer.window)
    weight = weight.contiguous(memory_format=torch.channels_last)
    packed = torch.ops.mkldnn._reorder_convolution_weight(  # noqa: SLF001
        weight, geometry[1], geometry[0], geometry[2], geometry[3], [1, *layer.source_shape]
    )
    stride, padding, dilation, groups = geometry
    plain = torch.ops.mkldnn._convolution_pointwise.default  # noqa: SLF001
    summed = torch.ops.mkldnn._convolution_pointwise.binary  # noqa: SLF001
    if layer.residual is None:
        return Packed(
            lambda x, _: plain(x, packed, bias, padding, stride, dilation, groups, kind, scalars, algorithm),
            held,
        )
    if layer.activation is not None and kind != "relu":
        raise KernelRefused(f"{layer.name}: {kind} after a sum is not fused")
    after = "relu" if layer.activation is not None else None
    if writes_over:
        return Packed(_summed_in_place(packed, bias, geometry, after), held)
    return Packed(
        lambda x, residual: summed(
            x, residual, packed, bias, padding, stride, dilation, groups, "add", 1.0, after, [], ""
        ),
        held,
    )


def _summed_in_place(
    packed: Tensor, bias: Tensor | None, geometry: tuple[list[int], list[int], list[int], int], after: str | None
) -> Kernel:
    stride, padding, dilation, groups = geometry
    summed = torch.ops.mkldnn._convolution_pointwise_.binary

    def run(x: Tensor, residual: Tensor | None) -> Tensor:
        assert residual is not None  # noqa: S101 - by the plan; in another layout the kernel would mix up elements
        residual = residual.contiguous(memory_format=torch.channels_last)
        y: Tensor = summed(residual, x, packed, bias, padding, stride, dilation, groups, "add", 1.0, after, [], "")
        return y

    return run


def _float_linear(packed: Tensor, bias: Tensor | None, layer: Layer) -> Kernel:
    kind, scalars, algorithm = _unary(layer.activation)
    plain = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001
    if layer.residual is None:
        return lambda x, _: plain(x, packed, bias, kind, scalars, algorithm)
    if layer.activation is not None:
        raise KernelRefused(f"{layer.name}: {kind} after a sum is not fused")
    summed = torch.ops.mkldnn._linear_pointwise.binary  # noqa: SLF001
    return lambda x, residual: summed(x, residual, packed, bias, "add")


@dataclass(frozen=True, slots=True)
class QuantizedForm:
    """Grids around an int8 layer: of its input, of its output (None: float32), of its residual (None: float32)."""

    source: Grid
    output: Grid | None
    residual: Grid | None = None


def pack_quantized(layer: Layer, weight: QuantizedWeight, bias: Tensor | None, form: QuantizedForm) -> Packed:
    """A layer on uint8 input. Raises KernelRefused.

    A sum is written over the residual, which must be nobody else's.

    Signed input is not offered: it takes oneDNN's reference path, thousands of times slower.
    """
    codes = torch.from_numpy(weight.codes)
    scales = torch.from_numpy(weight.scales)
    _check(layer, codes, bias)
    check_quantized(layer)
    zeros = torch.zeros(len(codes), dtype=torch.int32)
    kind, scalars, algorithm = _unary(layer.activation)
    output = form.output or Grid(1.0, 0)
    dtype = torch.float32 if form.output is None else torch.uint8
    source = form.source
    held = weight.nbytes + zeros.nbytes + (0 if bias is None else bias.nbytes)
    if layer.window is None:
        packed = torch.ops.onednn.qlinear_prepack(codes, [1, *layer.source_shape])
        plain = torch.ops.onednn.qlinear_pointwise.default
        if layer.residual is not None:
            raise KernelRefused(f"{layer.name}: a quantized linear layer takes no residual")
        return Packed(
            lambda x, _: plain(
                x,
                source.scale,
                source.zero,
                packed,
                scales,
                zeros,
                bias,
                output.scale,
                output.zero,
                dtype,
                kind,
                scalars,
                algorithm,
            ),
            held,
        )  # fmt: skip - the operator's arguments in its own groups
    stride, padding, dilation, groups = _geometry(layer.window)
    packed = torch.ops.onednn.qconv_prepack(
        codes, scales, source.scale, source.zero, stride, padding, dilation, groups, [1, *layer.source_shape]
    )
    if layer.residual is None:
        alone = torch.ops.onednn.qconv2d_pointwise.default
        return Packed(
            lambda x, _: alone(
                x, source.scale, source.zero, packed, scales, zeros, bias, stride, padding, dilation, groups,
                output.scale, output.zero, dtype, kind, scalars, algorithm,
            ),
            held,
        )  # fmt: skip
    if (form.residual is None) != (form.output is None):
        raise KernelRefused(
            f"{layer.name}: the sum is written over the residual, so both are uint8 or both float32"
        )
    residual_grid = form.residual or Grid(1.0, 0)
    after = "none" if layer.activation is None else kind
    summed = torch.ops.onednn.qconv2d_pointwise.binary
    return Packed(
        lambda x, residual: summed(
            x, source.scale, source.zero, packed, scales, zeros, residual, bias, stride, padding, dilation, groups,
            output.scale, output.zero, dtype, residual_grid.scale, residual_grid.zero,
            "sum", 1.0, after, [], "",
        ),
        held,
    )  # fmt: skip


def check_quantized(layer: Layer) -> None:
    """Raises KernelRefused for a layer that has no int8 kernel."""
    kind = None if layer.activation is None else layer.activation.kind
    if layer.window is None:
        if kind not in QUANTIZED_LINEAR_ACTIVATIONS or layer.residual is not None:
            raise KernelRefused(f"{layer.name}: {kind} or a sum after a linear layer has no int8 kernel")
    elif kind not in QUANTIZED_CONV_ACTIVATIONS or (layer.residual is not None and kind not in {None, "relu"}):
        raise KernelRefused(f"{layer.name}: {kind} after a convolution or its sum has no int8 kernel")


def max_pool_codes(
    x: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil_mode: bool = False,
) -> Tensor:
    """Max pooling of uint8 codes (samples, channels, height, width), channels last."""
    if x.dtype is not torch.uint8 or min(*kernel, *stride, *dilation) < 1:
        raise KernelRefused(f"max pooling of {x.dtype} with kernel {kernel}, stride {stride}, dilation {dilation}")
    pooled: Tensor = torch.ops.quantized.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    return pooled


def _check(layer: Layer, weight: Tensor, bias: Tensor | None) -> None:
    if bias is not None and tuple(bias.shape) != (len(weight),):
        raise KernelRefused(f"{layer.name}: bias {tuple(bias.shape)} for {len(weight)} outputs")
    window = layer.window
    if window is None:
        if weight.ndim != 2 or weight.shape[1] != layer.source_shape[-1]:
            raise KernelRefused(f"{layer.name}: weight {tuple(weight.shape)} for input {layer.source_shape}")
        return
    if weight.ndim != 4 or len(layer.source_shape) != 3:
        raise KernelRefused(f"{layer.name}: only two-dimensional convolutions, weight {tuple(weight.shape)}")
    sizes = (*window.stride, *window.dilation, window.groups)
    if min(sizes) < 1 or min(window.padding) < 0 or max(*sizes, *window.padding) > _MAX_SIZE:
        raise KernelRefused(f"{layer.name}: {window} is out of range")
    channels = layer.source_shape[0]
    if channels % window.groups or weight.shape[1] != channels // window.groups or len(weight) % window.groups:
        raise KernelRefused(
            f"{layer.name}: weight {tuple(weight.shape)} for {channels} channels in {window.groups}"
        )
    for size, kernel, padding, dilation in zip(
        layer.source_shape[1:], weight.shape[2:], window.padding, window.dilation, strict=True
    ):
        if size + 2 * padding < dilation * (kernel - 1) + 1:
            raise KernelRefused(f"{layer.name}: the kernel {tuple(weight.shape[2:])} is larger than its input")


def _geometry(window: Window) -> tuple[list[int], list[int], list[int], int]:
    return list(window.stride), list(window.padding), list(window.dilation), window.groups


def _unary(activation: Activation | None) -> tuple[str, list[float], str]:
    if activation is None:
        return "none", [], ""
    return activation.kind, list(activation.scalars), activation.algorithm
