"""Operators that move, join, cut and enlarge values, as Core AI operators."""

import numpy as np

from tidegate.engines.coreai.graph_builder import GraphBuilder, axes, axis_of, places, reshaped, shape_of
from tidegate.engines.coreai.runtime import Value, ops
from tidegate.engines.coreai.windows import weighted
from tidegate.engines.plan.arguments import Unconvertible, filled, number, whole_numbers
from tidegate.engines.plan.resampling import linear_shares, nearest_places, steps_of
from tidegate.models.graph import BatchSize, Node


def reshape(build: GraphBuilder, node: Node) -> Value:
    first = node.args[1][0] if isinstance(node.args[1], tuple) else None
    if not isinstance(first, BatchSize) and first != -1:
        raise Unconvertible("the first size is not the batch's")
    return flatten(build, node)


def flatten(build: GraphBuilder, node: Node) -> Value:
    return reshaped(build.read(node.args[0]), [1, *node.shape])


def looked_up(_build: GraphBuilder, _node: Node) -> Value:
    raise Unconvertible("rows by their numbers have not been tried on Core AI; coreml, mlx and onnx have them")


def permute(build: GraphBuilder, node: Node) -> Value:
    x = build.read(node.args[0])
    return _permuted(x, [axis % len(shape_of(x)) for axis in whole_numbers(node.args[1])])


def transpose(build: GraphBuilder, node: Node) -> Value:
    x = build.read(node.args[0])
    order = list(range(len(shape_of(x))))
    first, second = (axis % len(order) for axis in whole_numbers(tuple(node.args[1:])))
    order[first], order[second] = order[second], order[first]
    return _permuted(x, order)


def _permuted(x: Value, order: list[int]) -> Value:
    if order[0] != 0:
        raise Unconvertible("the batch axis moves")
    return ops.transpose(x, places(order))


def concatenate(build: GraphBuilder, node: Node) -> Value:
    parts, axis = filled(node.args, (None, 0))
    if not isinstance(parts, tuple) or not isinstance(axis, int):
        raise Unconvertible(f"of {parts!r} along {axis!r}")
    values = [build.read(part) for part in parts]
    place = axis % len(shape_of(values[0]))
    if place == 0:
        raise Unconvertible("along the samples")
    return ops.concat(axis_of(place), values)


def sliced(build: GraphBuilder, node: Node) -> Value:
    argument, axis, start, end, step = filled(node.args, (None, 0, 0, 2**63 - 1, 1))
    x = build.read(argument)
    shape = shape_of(x)
    ((axis,), (start,), (end,), (step,)) = (whole_numbers(each) for each in (axis, start, end, step))
    place = axis % len(shape)
    if place == 0:
        raise Unconvertible("of the samples")
    first, last, _ = slice(start, end).indices(shape[place])
    begins, ends, strides = [0] * len(shape), list(shape), [1] * len(shape)
    begins[place], ends[place], strides[place] = first, last, step
    return ops.slice_(x, axes(begins), axes(ends), axes(strides))


def padded(build: GraphBuilder, node: Node) -> Value:
    argument, pads, value = filled(node.args, (None, (), 0.0))
    x = build.read(argument)
    rank = len(shape_of(x))
    # Torch names pairs of sizes from the last axis on.
    pairs = np.asarray(whole_numbers(pads), np.int64).reshape(-1, 2)[::-1]
    if (pairs < 0).any():
        raise Unconvertible("negative padding")
    amounts = np.zeros((rank, 2), np.int64)
    amounts[rank - len(pairs) :] = pairs
    if amounts[0].any():
        raise Unconvertible("along the samples")
    return ops.pad(x, places(amounts.ravel().tolist()), build.number(number(value)), "constant")


def nearest(build: GraphBuilder, node: Node) -> Value:
    x = build.read(node.args[0])
    steps = steps_of(shape_of(x), node)
    return weighted(build, x, [np.eye(old)[nearest_places(old, new, step)] for old, new, step in steps])


def bilinear(build: GraphBuilder, node: Node) -> Value:
    x = build.read(node.args[0])
    corners = bool(node.args[2])
    steps = steps_of(shape_of(x), node)
    return weighted(build, x, [linear_shares(old, new, step, corners=corners) for old, new, step in steps])
