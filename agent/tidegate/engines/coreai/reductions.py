"""Means, normalizations and softmax, as Core AI operators; its reductions keep their axes."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tidegate.engines.coreai.elementwise import widened
from tidegate.engines.coreai.graph_builder import (
    Constant,
    Convert,
    GraphBuilder,
    axes,
    axis_of,
    reshaped,
    shape_of,
)
from tidegate.engines.coreai.runtime import Value, ops
from tidegate.engines.plan.arguments import Unconvertible, filled, number, whole_numbers
from tidegate.models.graph import Argument, Node


def reduced(emit: Callable[[Value, Constant], Value]) -> Convert:
    """A mean, or what else `emit` makes, over axes of the graph."""

    def convert(build: GraphBuilder, node: Node) -> Value:
        x = build.read(node.args[0])
        gone = sorted({axis % len(shape_of(x)) for axis in whole_numbers(node.args[1])})
        if 0 in gone:
            raise Unconvertible("over the samples")
        return reshaped(emit(x, axes(gone)), [1, *node.shape])

    return convert


def softmax(build: GraphBuilder, node: Node) -> Value:
    (axis,) = whole_numbers(node.args[1])
    x = build.read(node.args[0])
    return ops.softmax(x, axis_of(axis % len(shape_of(x))))


def layer_norm(build: GraphBuilder, node: Node) -> Value:
    argument, shape, weight, bias, epsilon = filled(node.args[:5], (None, (), None, None, 1e-5))
    x = build.read(argument)
    rank = len(shape_of(x))
    gone = range(rank - len(whole_numbers(shape)), rank)
    return _scaled(build, _even(build, x, gone, number(epsilon)), weight, bias, None)


def group_norm(build: GraphBuilder, node: Node) -> Value:
    argument, groups, weight, bias, epsilon = filled(node.args[:5], (None, 1, None, None, 1e-5))
    (count,) = whole_numbers(groups)
    x = build.read(argument)
    shape = shape_of(x)
    rows = reshaped(x, [1, count, math.prod(shape) // count])
    even = reshaped(_even(build, rows, [2], number(epsilon)), shape)
    return _scaled(build, even, weight, bias, (-1, *[1] * (len(shape) - 2)))


def _even(build: GraphBuilder, x: Value, gone: Sequence[int], epsilon: float) -> Value:
    """(x - mean) / sqrt(variance + epsilon), in fp32: a square may be more than fp16 holds."""
    wide = widened(x)
    off = ops.broadcasting_sub(wide, ops.reduce_mean(wide, axes(gone)))
    variance = ops.reduce_mean(ops.broadcasting_mul(off, off), axes(gone))
    size = ops.rsqrt(ops.broadcasting_add(variance, np.asarray(epsilon, np.float32)))
    return ops.cast(ops.broadcasting_mul(off, size), build.dtype)


def _scaled(
    build: GraphBuilder, x: Value, weight: Argument, bias: Argument, shape: tuple[int, ...] | None
) -> Value:
    """Times a weight and plus a bias, each under another shape where one is given."""
    for argument, emit in ((weight, ops.broadcasting_mul), (bias, ops.broadcasting_add)):
        if argument is not None:
            held = build.weight(argument)
            x = emit(x, held if shape is None else held.reshape(shape))
    return x
