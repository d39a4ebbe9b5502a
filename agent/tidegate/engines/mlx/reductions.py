"""Means, normalizations and softmax."""

import math

from tidegate.engines.mlx.graph_builder import Compute, GraphBuilder, Value, sized
from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.mlx.stored_weight import Form
from tidegate.engines.plan.arguments import Unconvertible, filled, number, whole_numbers
from tidegate.engines.plan.axis_order import plain
from tidegate.models.graph import Argument, Node


def mean(build: GraphBuilder, node: Node) -> Value:
    return _reduced(build, node, mx.mean)


def amax(build: GraphBuilder, node: Node) -> Value:
    return _reduced(build, node, mx.max)


def _reduced(build: GraphBuilder, node: Node, compute: Compute) -> Value:
    argument, axes, keep = filled(node.args, (None, None, False))
    x = build.read(argument)
    gone = {axis % x.rank for axis in whole_numbers(axes)}
    if 0 in gone:
        raise Unconvertible("over the samples")
    places = sorted(x.place(axis) for axis in gone)
    kept = bool(keep)
    left = [axis for axis in x.order if axis not in gone]
    order = x.order if kept else tuple(sorted(left).index(axis) for axis in left)
    return build.emit(lambda x: compute(x, axis=places, keepdims=kept), [x], sized(node), order)


def softmax(build: GraphBuilder, node: Node) -> Value:
    (axis,) = whole_numbers(node.args[1])
    x = build.read(node.args[0])
    place = x.place(axis)
    return build.emit(lambda x: mx.softmax(x, axis=place, precise=True), [x], x.shape, x.order)


def layer_norm(build: GraphBuilder, node: Node) -> Value:
    argument, shape, weight, bias, epsilon = filled(node.args[:5], (None, (), None, None, 1e-5))
    x = build.read(argument)
    count, order = len(whole_numbers(shape)), plain(x.rank)
    places, small = list(range(x.rank - count, x.rank)), number(epsilon)
    inputs, scaled = _scaled(build, build.laid_out(x, order), weight, bias, Form(count, plain(count)))
    if count == 1 and scaled is _both:
        return build.emit(lambda x, w, b: mx.fast.layer_norm(x, w, b, small), inputs, x.shape, order)
    return build.emit(lambda x, *more: scaled(_even(x, places, small), *more), inputs, x.shape, order)


def group_norm(build: GraphBuilder, node: Node) -> Value:
    argument, groups, weight, bias, epsilon = filled(node.args[:5], (None, 1, None, None, 1e-5))
    (count,) = whole_numbers(groups)
    x = build.read(argument)
    order, small = plain(x.rank), number(epsilon)
    flat = (1, count, math.prod(x.shape) // count)
    rows = build.reshaped(build.laid_out(x, order), flat, plain(3))
    even = build.emit(lambda x: _even(x, [2], small), [rows], flat, plain(3))
    back = build.reshaped(even, x.shape, order)
    behind = (1,) * (x.rank - 2)
    inputs, scaled = _scaled(build, back, weight, bias, Form(1, (0,)))
    return build.emit(
        lambda x, *more: scaled(x, *(each.reshape(-1, *behind) for each in more)), inputs, x.shape, order
    )


def _even(x: Tensor, places: list[int], epsilon: float) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon)"""
    off = x - mx.mean(x, axis=places, keepdims=True)
    return off * mx.rsqrt(mx.mean(off * off, axis=places, keepdims=True) + epsilon)


def _both(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x * weight + bias


def _times(x: Tensor, weight: Tensor) -> Tensor:
    return x * weight


def _plus(x: Tensor, bias: Tensor) -> Tensor:
    return x + bias


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _scaled(
    build: GraphBuilder, x: Value, weight: Argument, bias: Argument, form: Form
) -> tuple[list[Value | int], Compute]:
    """What a norm reads, and what it does to even values with that which is behind the first of it."""
    held = [build.weight(each, form) for each in (weight, bias) if each is not None]
    if weight is None:
        return [x, *held], _as_it_is if bias is None else _plus
    return [x, *held], _times if bias is None else _both
