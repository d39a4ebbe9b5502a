"""Convolutions and pools: windows over images with the channels last."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidegate.engines.litert.graph_builder import GraphBuilder, Value, sized
from tidegate.engines.litert.options import NONE, SAME, VALID, options
from tidegate.engines.litert.reductions import reduced
from tidegate.engines.plan.arguments import Unconvertible, filled, pair
from tidegate.engines.plan.axis_order import channels_last
from tidegate.engines.plan.quantization import QuantParams
from tidegate.models.graph import Argument, Node

_LOWEST = float(np.finfo(np.float32).min)
_LEAST_CODE = -128
_MOST_TAPS = 25
"""Of a depthwise convolution that XNNPACK computes in one pass."""


def windowed(
    build: GraphBuilder,
    x: Value,
    node: Node,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    fill: float | None = None,
) -> tuple[Value, int]:
    """The image with the padding that LiteRT has no words for, and the padding that it has words for.

    `fill` is what max pools pad with; None is 0.
    """
    before, behind = [], []
    same = True
    for old, new, k, s, p, d in zip(x.shape[2:], node.shape[1:], kernel, stride, padding, dilation, strict=True):
        needed = (new - 1) * s + (k - 1) * d + 1
        behind.append(needed - old - p)
        before.append(p)
        total = max(0, needed - old)
        same &= new == -(-old // s) and total // 2 == p
    if not any(before) and all(each <= 0 for each in behind):
        return x, VALID
    if same:
        return x, SAME
    amounts = [(0, 0), *((b, max(0, e)) for b, e in zip(before, behind, strict=True)), (0, 0)]
    return padded_by(build, x, amounts, fill), VALID


def padded_by(build: GraphBuilder, x: Value, amounts: Sequence[tuple[int, int]], fill: float | None) -> Value:
    """With so many more in front of and behind each place; codes are filled with 0's code, or the least one."""
    shape = list(x.shape)
    for place, (front, end) in enumerate(amounts):
        shape[x.order[place]] += front + end
    out = build.new(tuple(shape), x.order, x.params)
    sizes = build.constant(np.asarray(amounts), np.int32)
    if fill is None:
        return build.emit("PAD", [x.tensor, sizes], out, options("Pad"))
    if x.params is None:
        value = build.constant(fill)
    else:
        value = build.model.fixed(f"fill{out.tensor}", np.asarray(_LEAST_CODE, np.int8), x.params)
    return build.emit("PADV2", [x.tensor, sizes, value], out, options("PadV2"))


def image(build: GraphBuilder, argument: Argument) -> Value:
    """An image with its channels last."""
    x = build.read(argument)
    return build.laid_out(x, channels_last(len(x.shape)))


def convolution_settings(node: Node) -> tuple[list[int], list[int], list[int], int]:
    """Stride, padding, dilation and groups."""
    stride, padding, dilation, groups = filled(node.args[3:], ((1,), (0,), (1,), 1))
    if not isinstance(groups, int):
        raise Unconvertible(f"groups {groups!r}")
    return pair(stride), pair(padding), pair(dilation), groups


def convolution(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    weight = build.array(node.args[1])
    depthwise = is_depthwise(node, build.read(node.args[0]).shape[1], weight)
    turned = np.transpose(weight, (1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    return emit_convolution(
        build, node, build.constant(turned), bias_of(build, node, len(weight)), depthwise, params
    )


def is_depthwise(node: Node, channels: int, weight: npt.NDArray[np.generic]) -> bool:
    """Whether each channel is convolved by itself."""
    return convolution_settings(node)[3] == channels and weight.shape[1] == 1 and channels > 1


def bias_of(build: GraphBuilder, node: Node, outputs: int) -> int:
    """The bias in float32; zeros where there is none."""
    bias = node.args[2] if len(node.args) > 2 else None
    return build.constant(np.zeros(outputs) if bias is None else build.array(bias))


def emit_convolution(
    build: GraphBuilder,
    node: Node,
    weight: int,
    bias: int,
    depthwise: bool,
    params: QuantParams | None,
    activation: int = NONE,
) -> Value:
    """The convolution with weights and bias as LiteRT wants them."""
    stride, padding, dilation, groups = convolution_settings(node)
    x = image(build, node.args[0])
    kernel = build.array(node.args[1]).shape[2:]
    x, how = windowed(build, x, node, kernel, stride, padding, dilation)
    settings = {
        "padding": how,
        "strideH": stride[0],
        "strideW": stride[1],
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
        "fusedActivationFunction": activation,
    }
    out = build.new(sized(node), channels_last(4), params)
    if depthwise:
        multiplier = node.shape[0] // groups
        table = options("DepthwiseConv2D", depthMultiplier=multiplier, **settings)
        return build.emit("DEPTHWISE_CONV_2D", [x.tensor, weight, bias], out, table)
    return build.emit("CONV_2D", [x.tensor, weight, bias], out, options("Conv2D", **settings))


def transposed_convolution(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    x, _, bias, stride, padding, more, groups, dilation = filled(node.args, (None, None, None, 1, 0, 0, 1, 1))
    if groups != 1 or pair(dilation) != [1, 1]:
        raise Unconvertible("groups or a dilation")
    value = image(build, x)
    weight = build.array(node.args[1])
    kernel, strides, pads, extra = weight.shape[2:], pair(stride), pair(padding), pair(more)
    if any(each > pad for each, pad in zip(extra, pads, strict=True)):
        raise Unconvertible("more output padding than padding")
    whole = [(old - 1) * s + k for old, s, k in zip(value.shape[2:], strides, kernel, strict=True)]
    physical = (1, *whole, node.shape[0])
    full = build.new((1, node.shape[0], *whole), channels_last(4))
    inputs = [
        build.constant(physical, np.int32),
        build.constant(np.transpose(weight, (1, 2, 3, 0))),
        value.tensor,
        build.constant(np.zeros(node.shape[0]) if bias is None else build.array(bias)),
    ]
    table = options("TransposeConv", padding=VALID, strideH=strides[0], strideW=strides[1])
    build.emit("TRANSPOSE_CONV", inputs, full, table)
    if list(node.shape[1:]) == whole:
        return full
    begin = build.constant([0, *pads, 0], np.int32)
    size = build.constant([1, *node.shape[1:], node.shape[0]], np.int32)
    return build.emit(
        "SLICE", [full.tensor, begin, size], build.new(sized(node), channels_last(4)), options("Slice")
    )


def max_pool(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    kernel, stride, padding, dilation, _ = filled(node.args[1:], (None, (), 0, 1, False))
    if pair(dilation) != [1, 1]:
        raise Unconvertible("a dilation")
    sizes, steps = pair(kernel), pair(stride) if stride else pair(kernel)
    x = image(build, node.args[0])
    x, how = windowed(build, x, node, sizes, steps, pair(padding), (1, 1), _LOWEST)
    return _pool("MAX_POOL_2D", build, node, x, how, sizes, steps)


def average_pool(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    kernel, stride, padding, ceil, count_padding, divisor = filled(node.args[1:], (None, (), 0, False, True, None))
    if divisor is not None or ceil:
        raise Unconvertible("a divisor of its own, or sizes rounded up")
    sizes, pads = pair(kernel), pair(padding)
    steps = pair(stride) if stride else sizes
    x = image(build, node.args[0])
    if any(pads) and count_padding:
        amounts = [(0, 0), *((pad, pad) for pad in pads), (0, 0)]
        x = padded_by(build, x, amounts, None)
        pads = [0, 0]
    fitted, how = windowed(build, x, node, sizes, steps, pads, (1, 1))
    if fitted is not x:
        raise Unconvertible("padding that is left out of the count on one side only")
    if params is not None and how == VALID and 1 < sizes[0] * sizes[1] <= _MOST_TAPS:
        return _averaged_codes(build, node, x, sizes, steps, params)
    return _pool("AVERAGE_POOL_2D", build, node, x, how, sizes, steps)


def _averaged_codes(
    build: GraphBuilder, node: Node, x: Value, kernel: Sequence[int], stride: Sequence[int], params: QuantParams
) -> Value:
    """Averages straight to codes of other parameters, as a depthwise convolution.

    LiteRT's pool would round to the grid of its input first, on which averages are coarse.
    """
    assert x.params is not None  # noqa: S101 - the caller has codes
    channels, taps = x.shape[1], kernel[0] * kernel[1]
    scales = np.full(channels, 1 / taps, np.float32)
    ones = build.model.weight(f"{node.name}/ones", np.ones((1, *kernel, channels), np.int8), scales, 3)
    bias = build.model.weight(
        f"{node.name}/bias", np.zeros(channels, np.int32), scales * np.float32(x.params.scale), 0
    )
    table = options(
        "DepthwiseConv2D",
        depthMultiplier=1,
        padding=VALID,
        strideH=stride[0],
        strideW=stride[1],
        dilationHFactor=1,
        dilationWFactor=1,
        fusedActivationFunction=NONE,
    )
    out = build.new(sized(node), channels_last(4), params)
    return build.emit("DEPTHWISE_CONV_2D", [x.tensor, ones, bias], out, table)


def _pool(
    kind: str,
    build: GraphBuilder,
    node: Node,
    x: Value,
    padding: int,
    kernel: Sequence[int],
    stride: Sequence[int],
) -> Value:
    """Codes keep their parameters: LiteRT's pools know no others."""
    if list(kernel) == [1, 1]:
        return _every(build, node, x, stride)
    table = options(
        "Pool2D",
        padding=padding,
        filterHeight=kernel[0],
        filterWidth=kernel[1],
        strideH=stride[0],
        strideW=stride[1],
        fusedActivationFunction=NONE,
    )
    return build.emit(kind, [x.tensor], build.new(sized(node), channels_last(4), x.params), table)


def adaptive_average(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    x = image(build, node.args[0])
    target, sizes = pair(node.args[1]), x.shape[2:]
    if target == [1, 1]:
        return reduced(build, x, [2, 3], True, sized(node), params)
    if list(sizes) == target:
        return x
    if any(size % wanted for size, wanted in zip(sizes, target, strict=True)):
        raise Unconvertible(f"from {sizes} to {target}: windows of different sizes")
    kernel = [size // wanted for size, wanted in zip(sizes, target, strict=True)]
    if params is not None and 1 < kernel[0] * kernel[1] <= _MOST_TAPS:
        return _averaged_codes(build, node, x, kernel, kernel, params)
    return _pool("AVERAGE_POOL_2D", build, node, x, VALID, kernel, kernel)


def _every(build: GraphBuilder, node: Node, x: Value, stride: Sequence[int]) -> Value:
    """Every so many rows and columns: a pool over single pixels, which XNNPACK leaves uncomputed."""
    if list(stride) == [1, 1]:
        return x
    bounds = ([0] * 4, list(x.physical), [1, *stride, 1])
    inputs = [x.tensor, *(build.constant(each, np.int32) for each in bounds)]
    out = build.new(sized(node), channels_last(4), x.params)
    return build.emit("STRIDED_SLICE", inputs, out, options("StridedSlice"))
