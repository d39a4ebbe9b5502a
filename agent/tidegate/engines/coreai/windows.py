"""Convolutions and pools, as Core AI operators; images have their channels in front, as in the graph."""

from collections.abc import Sequence

import numpy as np

from tidegate.engines.coreai.graph_builder import GraphBuilder, added_bias, axes, count, places, shape_of
from tidegate.engines.coreai.runtime import Value, ops
from tidegate.engines.plan.arguments import Unconvertible, filled, pair
from tidegate.engines.plan.resampling import Shares, even_shares
from tidegate.engines.plan.windows import average_counts, padding_of_windows
from tidegate.models.graph import Argument, Node

_NO_GAPS = (1, 1)


def convolution(build: GraphBuilder, node: Node) -> Value:
    argument, weight, bias, stride, padding, dilation, groups = filled(node.args, (None, None, None, 1, 0, 1, 1))
    x = _padded(build, _image(build, argument), [(each, each) for each in pair(padding)], 0)
    y = ops.conv2d(x, build.layer_weight(weight), places(pair(stride)), places(pair(dilation)), count(groups))
    return added_bias(build, y, bias, 2)


def transposed_convolution(build: GraphBuilder, node: Node) -> Value:
    argument, weight, bias, stride, padding, more, groups, dilation = filled(
        node.args, (None, None, None, 1, 0, 0, 1, 1)
    )
    x = _image(build, argument)
    steps, pads, gaps, extra = (places(pair(each)) for each in (stride, padding, dilation, more))
    y = ops.conv_transpose2d(x, build.weight(weight), steps, pads, gaps, extra, count(groups))
    if shape_of(y) != (1, *node.shape):
        raise Unconvertible(f"Core AI makes {shape_of(y)[1:]} of it, torch {node.shape}")
    return added_bias(build, y, bias, 2)


def max_pool(build: GraphBuilder, node: Node) -> Value:
    argument, kernel, stride, padding, dilation, _ceil = filled(node.args, (None, None, (), 0, 1, False))
    sizes, gaps = pair(kernel), pair(dilation)
    steps = pair(stride) if stride else sizes
    x = _image(build, argument)
    sides = padding_of_windows(shape_of(x), node.shape[1:], sizes, steps, pair(padding), gaps)
    whole = _padded(build, x, sides, -np.inf)
    pooled = ops.TensorSpec([1, *_windows_in(shape_of(whole), sizes, steps, gaps)], build.dtype)
    return _cut(ops.maxpool2d(pooled, whole, places(sizes), places(steps), places(gaps), False), node)


def average_pool(build: GraphBuilder, node: Node) -> Value:
    """Sums by a convolution with ones, for each channel by itself; Core AI's pool of sums can't be called."""
    argument, kernel, stride, padding = filled(node.args[:4], (None, None, (), 0))
    sizes = pair(kernel)
    steps = pair(stride) if stride else sizes
    x = _image(build, argument)
    sides = padding_of_windows(shape_of(x), node.shape[1:], sizes, steps, pair(padding), _NO_GAPS)
    channels = shape_of(x)[1]
    ones = np.ones((channels, 1, *sizes), build.dtype)
    sums = ops.conv2d(_padded(build, x, sides, 0), ones, places(steps), places(_NO_GAPS), count(channels))
    shares = (1 / average_counts(shape_of(x), node)).astype(build.dtype)
    return ops.broadcasting_mul(_cut(sums, node), shares[None, None])


def adaptive_average(build: GraphBuilder, node: Node) -> Value:
    x = _image(build, node.args[0])
    if tuple(node.shape[1:]) == (1, 1):
        return ops.reduce_mean(x, axes([2, 3]))
    sizes = zip(shape_of(x)[2:], node.shape[1:], strict=True)
    return weighted(build, x, [even_shares(old, new) for old, new in sizes])


def weighted(build: GraphBuilder, x: Value, shares: Sequence[Shares]) -> Value:
    """Rows and columns (new, old) as weighted sums of the old ones."""
    rows, columns = (each.astype(build.dtype) for each in shares)
    tall = ops.broadcasting_batch_matmul(rows[None, None], x)
    return ops.broadcasting_batch_matmul(tall, np.ascontiguousarray(columns.T)[None, None])


def _image(build: GraphBuilder, argument: Argument) -> Value:
    x = build.read(argument)
    if len(shape_of(x)) != 4:
        raise Unconvertible(f"of a value with {len(shape_of(x))} axes, the samples' included; images have 4")
    return x


def _padded(build: GraphBuilder, x: Value, sides: Sequence[tuple[int, int]], fill: float) -> Value:
    amounts = [0, 0, 0, 0, *(each for side in sides for each in side)]
    return ops.pad(x, places(amounts), build.number(fill), "constant") if any(amounts) else x


def _windows_in(
    shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    """Channels, and how many windows fit into an image, by height and width."""
    sizes = zip(shape[2:], kernel, stride, dilation, strict=True)
    return shape[1], *((old - (k - 1) * d - 1) // s + 1 for old, k, s, d in sizes)


def _cut(x: Value, node: Node) -> Value:
    """Without the windows that torch has none for, where the padded image holds more."""
    if shape_of(x) == (1, *node.shape):
        return x
    return ops.slice_(x, axes([0] * 4), axes([1, *node.shape]), axes([1] * 4))
