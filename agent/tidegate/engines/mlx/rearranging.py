"""Operators that move, join, cut and enlarge values; permuting alone costs nothing."""

import numpy as np
import numpy.typing as npt

from tidegate.engines.mlx.graph_builder import GraphBuilder, Value, sized
from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.mlx.stored_weight import Form
from tidegate.engines.mlx.windows import image, weighted
from tidegate.engines.plan.arguments import Unconvertible, filled, number, whole_numbers
from tidegate.engines.plan.axis_order import channels_last, plain
from tidegate.engines.plan.resampling import linear_shares, nearest_places, steps_of
from tidegate.models.graph import BatchSize, Node


def reshape(build: GraphBuilder, node: Node) -> Value:
    first = node.args[1][0] if isinstance(node.args[1], tuple) else None
    if not isinstance(first, BatchSize) and first != -1:
        raise Unconvertible("the first size is not the batch's")
    return flatten(build, node)


def flatten(build: GraphBuilder, node: Node) -> Value:
    x = build.read(node.args[0])
    shape = sized(node)
    # Rows and columns of an image with the channels last may be joined, and parted, where they lie.
    if x.order == (0, 2, 3, 1) and len(shape) == 3 and shape[1] == x.shape[1]:
        return build.reshaped(x, shape, (0, 2, 1))
    if x.order == (0, 2, 1) and len(shape) == 4 and shape[1] == x.shape[1]:
        return build.reshaped(x, shape, (0, 2, 3, 1))
    return build.reshaped(build.laid_out(x, plain(x.rank)), shape, plain(len(shape)))


def permute(build: GraphBuilder, node: Node) -> Value:
    x = build.read(node.args[0])
    return _permuted(x, [axis % x.rank for axis in whole_numbers(node.args[1])])


def transpose(build: GraphBuilder, node: Node) -> Value:
    x = build.read(node.args[0])
    first, second = (axis % x.rank for axis in whole_numbers(tuple(node.args[1:])))
    axes = list(range(x.rank))
    axes[first], axes[second] = axes[second], axes[first]
    return _permuted(x, axes)


def _permuted(x: Value, axes: list[int]) -> Value:
    """Axis i of the result is axis `axes[i]` of the value: nothing moves."""
    if axes[0] != 0:
        raise Unconvertible("the batch axis moves")
    shape = tuple(x.shape[axis] for axis in axes)
    return Value(x.register, shape, tuple(axes.index(axis) for axis in x.order))


def looked_up(build: GraphBuilder, node: Node) -> Value:
    """Rows by their numbers; what is no row's becomes the nearest one's."""
    table = build.weight(node.args[0], Form(2, (0, 1)))
    x = build.read(node.args[1])
    x = build.laid_out(x, plain(x.rank))

    def rows(table: Tensor, numbers: Tensor) -> Tensor:
        return mx.take(table, mx.clip(numbers.astype(mx.int32), 0, table.shape[0] - 1), axis=0)

    shape = sized(node)
    return build.emit(rows, [table, x], shape, plain(len(shape)))


def concatenate(build: GraphBuilder, node: Node) -> Value:
    parts, axis = filled(node.args, (None, 0))
    if not isinstance(parts, tuple) or not isinstance(axis, int):
        raise Unconvertible(f"of {parts!r} along {axis!r}")
    values = [build.read(part) for part in parts]
    order = values[0].order
    place = values[0].place(axis)
    if place == 0:
        raise Unconvertible("along the samples")
    inputs = [build.laid_out(value, order) for value in values]
    return build.emit(lambda *each: mx.concatenate(each, axis=place), inputs, sized(node), order)


def sliced(build: GraphBuilder, node: Node) -> Value:
    argument, axis, start, end, step = filled(node.args, (None, 0, 0, 2**63 - 1, 1))
    x = build.read(argument)
    ((axis,), (start,), (end,), (step,)) = (whole_numbers(each) for each in (axis, start, end, step))
    place = x.place(axis)
    if place == 0:
        raise Unconvertible("of the samples")
    first, last, _ = slice(start, end).indices(x.shape[axis % x.rank])
    cut = (*[slice(None)] * place, slice(first, last, step))
    return build.emit(lambda x: x[cut], [x], sized(node), x.order)


def padded(build: GraphBuilder, node: Node) -> Value:
    argument, pads, value = filled(node.args, (None, (), 0.0))
    x = build.read(argument)
    # Torch names pairs of sizes from the last axis on.
    pairs = np.asarray(whole_numbers(pads), np.int64).reshape(-1, 2)[::-1]
    amounts = np.zeros((x.rank, 2), np.int64)
    amounts[x.rank - len(pairs) :] = pairs
    if amounts[0].any():
        raise Unconvertible("along the samples")
    fill, lying = number(value), amounts[list(x.order)]
    cut = tuple(
        slice(max(0, -front), size - max(0, -end))
        for (front, end), size in zip(lying.tolist(), x.physical, strict=True)
    )[1:]
    added = np.maximum(lying, 0).tolist()

    def moved(x: Tensor) -> Tensor:
        return mx.pad(x[(slice(None), *cut)], added, constant_values=fill)

    return build.emit(moved, [x], sized(node), x.order)


def nearest(build: GraphBuilder, node: Node) -> Value:
    """Rows and columns by torch's own indices."""
    x = image(build, node.args[0])
    for place, (old, new, step) in enumerate(steps_of(x.shape, node), start=1):
        x = _taken(build, x, place, nearest_places(old, new, step))
    return x


def _taken(build: GraphBuilder, x: Value, place: int, found: npt.NDArray[np.int32]) -> Value:
    shape = list(x.shape)
    shape[x.order[place]] = len(found)
    indices = mx.array(found)
    return build.emit(lambda x: mx.take(x, indices, axis=place), [x], tuple(shape), channels_last(4))


def bilinear(build: GraphBuilder, node: Node) -> Value:
    x = image(build, node.args[0])
    corners = bool(node.args[2])
    shares = [linear_shares(old, new, step, corners=corners) for old, new, step in steps_of(x.shape, node)]
    return weighted(build, x, node, shares)
