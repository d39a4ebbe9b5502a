"""Convolutions and pools: windows over images with the channels last."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidegate.engines.mlx.graph_builder import GraphBuilder, Value, sized
from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.mlx.stored_weight import Form
from tidegate.engines.plan.arguments import Unconvertible, filled, pair
from tidegate.engines.plan.axis_order import channels_last
from tidegate.engines.plan.resampling import even_shares
from tidegate.engines.plan.windows import average_counts, padding_of_windows
from tidegate.models.graph import Argument, Node

_NHWC = channels_last(4)
_OHWI = Form(4, _NHWC)
_TO_OHWI = Form(4, (1, 2, 3, 0))


def image(build: GraphBuilder, argument: Argument) -> Value:
    """An image with its channels last."""
    x = build.read(argument)
    if x.rank != 4:
        raise Unconvertible(f"of a value with {x.rank} axes, the samples' included; images have 4")
    return build.laid_out(x, _NHWC)


def convolution(build: GraphBuilder, node: Node) -> Value:
    x, weight, bias, stride, padding, dilation, groups = filled(node.args, (None, None, None, 1, 0, 1, 1))
    steps, pads, gaps = pair(stride), pair(padding), pair(dilation)
    inputs: list[Value | int] = [image(build, x), build.weight(weight, _OHWI)]

    def convolved(x: Tensor, w: Tensor) -> Tensor:
        return mx.conv2d(x, w, steps, pads, gaps, groups)

    return _with_bias(build, node, build.emit(convolved, inputs, sized(node), _NHWC), bias)


def transposed_convolution(build: GraphBuilder, node: Node) -> Value:
    x, weight, bias, stride, padding, more, groups, dilation = filled(node.args, (None, None, None, 1, 0, 0, 1, 1))
    steps, pads, gaps, extra = pair(stride), pair(padding), pair(dilation), pair(more)
    if not isinstance(groups, int):
        raise Unconvertible(f"groups {groups!r}")
    count = groups
    inputs: list[Value | int] = [image(build, x), build.weight(weight, _TO_OHWI)]

    def convolved(x: Tensor, w: Tensor) -> Tensor:
        # MLX has no groups here: each by itself.
        parts = zip(mx.split(x, count, axis=3), mx.split(w, count, axis=3), strict=True)
        done = [mx.conv_transpose2d(part, of, steps, pads, gaps, extra) for part, of in parts]
        return done[0] if count == 1 else mx.concatenate(done, axis=3)

    return _with_bias(build, node, build.emit(convolved, inputs, sized(node), _NHWC), bias)


def max_pool(build: GraphBuilder, node: Node) -> Value:
    argument, kernel, stride, padding, dilation, _ceil = filled(node.args, (None, None, (), 0, 1, False))
    sizes, pads, gaps = pair(kernel), pair(padding), pair(dilation)
    steps = pair(stride) if stride else sizes
    x = image(build, argument)
    padded = _amounts(x, node, sizes, steps, pads, gaps)
    out = node.shape[1:]

    def pooled(x: Tensor) -> Tensor:
        whole = mx.pad(x, padded, constant_values=-mx.inf) if _any(padded) else x
        return mx.max(_windows(whole, sizes, steps, gaps, out), axis=(3, 4))

    return build.emit(pooled, [x], sized(node), _NHWC)


def average_pool(build: GraphBuilder, node: Node) -> Value:
    argument, kernel, stride, padding = filled(node.args[:4], (None, None, (), 0))
    sizes, pads = pair(kernel), pair(padding)
    steps = pair(stride) if stride else sizes
    x = image(build, argument)
    padded = _amounts(x, node, sizes, steps, pads, [1, 1])
    out = node.shape[1:]
    counts = mx.array(average_counts(x.shape, node)[:, :, None].astype(np.float32))

    def pooled(x: Tensor) -> Tensor:
        whole = mx.pad(x, padded) if _any(padded) else x
        return mx.sum(_windows(whole, sizes, steps, [1, 1], out), axis=(3, 4)) / counts

    return build.emit(pooled, [x], sized(node), _NHWC)


def adaptive_average(build: GraphBuilder, node: Node) -> Value:
    x = image(build, node.args[0])
    if tuple(node.shape[1:]) == (1, 1):
        return build.emit(lambda x: mx.mean(x, axis=(1, 2), keepdims=True), [x], sized(node), _NHWC)
    shares = [even_shares(old, new) for old, new in zip(x.shape[2:], node.shape[1:], strict=True)]
    return weighted(build, x, node, shares)


def weighted(build: GraphBuilder, x: Value, node: Node, shares: Sequence[npt.NDArray[np.float64]]) -> Value:
    """Rows and columns (new, old) as weighted sums of the old ones."""
    rows, columns = (mx.array(each.astype(np.float32)) for each in shares)

    def summed(x: Tensor) -> Tensor:
        samples, height, width, channels = x.shape
        tall = rows @ x.reshape(samples, height, width * channels)
        wide = columns @ tall.reshape(-1, width, channels)
        return wide.reshape(samples, rows.shape[0], columns.shape[0], channels)

    return build.emit(summed, [x], sized(node), _NHWC)


def _with_bias(build: GraphBuilder, node: Node, value: Value, bias: Argument) -> Value:
    if bias is None:
        return value
    return build.emit(lambda x, b: x + b, [value, build.weight(bias, Form(1, (0,)))], sized(node), _NHWC)


def _windows(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], out: Sequence[int]
) -> Tensor:
    """(samples, rows, columns, kernel rows, kernel columns, channels), as a view."""
    samples, height, width, channels = x.shape
    row, column = width * channels, channels
    shape = (samples, *out, *kernel, channels)
    steps = (stride[0] * row, stride[1] * column, dilation[0] * row, dilation[1] * column)
    return mx.as_strided(x, shape, (height * row, *steps, 1))


def _amounts(
    x: Value,
    node: Node,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, int]]:
    return [(0, 0), *padding_of_windows(x.shape, node.shape[1:], kernel, stride, padding, dilation), (0, 0)]


def _any(amounts: Sequence[tuple[int, int]]) -> bool:
    return any(front or end for front, end in amounts)
