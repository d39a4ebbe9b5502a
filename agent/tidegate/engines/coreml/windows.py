"""Convolutions and pools, as MIL operators; images have their channels in front, as in the graph."""

from collections.abc import Sequence

import numpy as np

from tidegate.engines.coreml.graph_builder import GraphBuilder
from tidegate.engines.coreml.runtime import Var, mb
from tidegate.engines.plan.arguments import Unconvertible, filled, pair
from tidegate.engines.plan.resampling import Shares, even_shares
from tidegate.models.graph import Node


def convolution(build: GraphBuilder, node: Node) -> Var:
    _, weight, bias, stride, padding, dilation, groups = filled(node.args, (None, None, None, 1, 0, 1, 1))
    more = {} if bias is None else {"bias": build.weight(bias)}
    held = build.layer_weight(weight)
    return mb.conv(
        x=build.layer_input(node),
        weight=held,
        strides=pair(stride),
        pad_type="custom",
        pad=_sides(pair(padding)),
        dilations=pair(dilation),
        groups=groups,
        name=build.named(node.name),
        **more,
    )


def transposed_convolution(_build: GraphBuilder, _node: Node) -> Var:
    raise Unconvertible("transposed convolutions are not written for Core ML")


def max_pool(build: GraphBuilder, node: Node) -> Var:
    argument, kernel, stride, padding, dilation, ceil = filled(node.args, (None, None, (), 0, 1, False))
    if pair(dilation) != [1, 1] or ceil:
        raise Unconvertible("a dilation, or sizes rounded up")
    sizes = pair(kernel)
    return mb.max_pool(
        x=build.read(argument),
        kernel_sizes=sizes,
        strides=pair(stride) if stride else sizes,
        pad_type="custom",
        pad=_sides(pair(padding)),
        name=build.named(node.name),
    )


def average_pool(build: GraphBuilder, node: Node) -> Var:
    argument, kernel, stride, padding, ceil, with_padding, divisor = filled(
        node.args, (None, None, (), 0, False, True, None)
    )
    if divisor is not None or ceil:
        raise Unconvertible("a divisor of its own, or sizes rounded up")
    sizes = pair(kernel)
    return mb.avg_pool(
        x=build.read(argument),
        kernel_sizes=sizes,
        strides=pair(stride) if stride else sizes,
        pad_type="custom",
        pad=_sides(pair(padding)),
        exclude_padding_from_average=not with_padding,
        name=build.named(node.name),
    )


def adaptive_average(build: GraphBuilder, node: Node) -> Var:
    x = build.read(node.args[0])
    if tuple(node.shape[1:]) == (1, 1):
        return mb.reduce_mean(x=x, axes=[2, 3], keep_dims=True, name=build.named(node.name))
    return weighted(
        build, x, [even_shares(old, new) for old, new in zip(x.shape[2:], node.shape[1:], strict=True)]
    )


def weighted(build: GraphBuilder, x: Var, shares: Sequence[Shares]) -> Var:
    """Rows and columns (new, old) as weighted sums of the old ones."""
    rows, columns = shares
    tall = mb.matmul(x=build.shares(rows[None, None], "rows"), y=x, name=build.named("rows"))
    across = build.shares(np.ascontiguousarray(columns.T)[None, None], "columns")
    return mb.matmul(x=tall, y=across, name=build.named("columns"))


def _sides(padding: Sequence[int]) -> list[int]:
    return [each for each in padding for _ in range(2)]
