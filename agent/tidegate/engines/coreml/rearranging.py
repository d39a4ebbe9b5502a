"""Operators that move, join, cut and enlarge values, as MIL operators."""

import numpy as np

from tidegate.engines.coreml.graph_builder import GraphBuilder
from tidegate.engines.coreml.runtime import Var, mb
from tidegate.engines.coreml.windows import weighted
from tidegate.engines.plan.arguments import Unconvertible, filled, number, whole_numbers
from tidegate.engines.plan.resampling import linear_shares, nearest_places, steps_of
from tidegate.models.graph import BatchSize, Node


def reshape(build: GraphBuilder, node: Node) -> Var:
    first = node.args[1][0] if isinstance(node.args[1], tuple) else None
    if not isinstance(first, BatchSize) and first != -1:
        raise Unconvertible("the first size is not the batch's")
    return flatten(build, node)


def flatten(build: GraphBuilder, node: Node) -> Var:
    return mb.reshape(x=build.read(node.args[0]), shape=[1, *node.shape], name=build.named(node.name))


def permute(build: GraphBuilder, node: Node) -> Var:
    x = build.read(node.args[0])
    return _permuted(build, node, x, [axis % len(x.shape) for axis in whole_numbers(node.args[1])])


def transpose(build: GraphBuilder, node: Node) -> Var:
    x = build.read(node.args[0])
    first, second = (axis % len(x.shape) for axis in whole_numbers(tuple(node.args[1:])))
    axes = list(range(len(x.shape)))
    axes[first], axes[second] = axes[second], axes[first]
    return _permuted(build, node, x, axes)


def _permuted(build: GraphBuilder, node: Node, x: Var, axes: list[int]) -> Var:
    if axes[0] != 0:
        raise Unconvertible("the batch axis moves")
    return mb.transpose(x=x, perm=axes, name=build.named(node.name))


_EXACT_IN_16_BITS = 2048


def looked_up(build: GraphBuilder, node: Node) -> Var:
    """Rows by their numbers; what is no row's becomes the nearest one's."""
    table, x = build.weight(node.args[0]), build.read(node.args[1])
    rows = table.shape[0]
    if rows > _EXACT_IN_16_BITS and build.dtype is np.float16:
        raise Unconvertible(
            f"numbers of {rows} rows are rounded in 16 bits, which hold up to {_EXACT_IN_16_BITS}; onnx, litert "
            "and mlx have 32"
        )
    cut = mb.minimum(x=mb.maximum(x=x, y=build.number(0)), y=build.number(rows - 1))
    places = mb.cast(x=cut, dtype="int32", name=build.named("rows"))
    return mb.gather(x=table, indices=places, axis=0, name=build.named(node.name))


def concatenate(build: GraphBuilder, node: Node) -> Var:
    parts, axis = filled(node.args, (None, 0))
    if not isinstance(parts, tuple) or not isinstance(axis, int):
        raise Unconvertible(f"of {parts!r} along {axis!r}")
    values = [build.read(part) for part in parts]
    return mb.concat(values=values, axis=axis % len(values[0].shape), name=build.named(node.name))


def sliced(build: GraphBuilder, node: Node) -> Var:
    argument, axis, start, end, step = filled(node.args, (None, 0, 0, 2**63 - 1, 1))
    x = build.read(argument)
    ((axis,), (start,), (end,), (step,)) = (whole_numbers(each) for each in (axis, start, end, step))
    place = axis % len(x.shape)
    first, last, _ = slice(start, end).indices(x.shape[place])
    begins, ends, strides = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
    begins[place], ends[place], strides[place] = first, last, step
    return mb.slice_by_index(x=x, begin=begins, end=ends, stride=strides, name=build.named(node.name))


def padded(build: GraphBuilder, node: Node) -> Var:
    argument, pads, value = filled(node.args, (None, (), 0.0))
    x = build.read(argument)
    # Torch names pairs of sizes from the last axis on.
    pairs = np.asarray(whole_numbers(pads), np.int64).reshape(-1, 2)[::-1]
    if (pairs < 0).any():
        raise Unconvertible("negative padding")
    amounts = np.zeros((len(x.shape), 2), np.int32)
    amounts[len(x.shape) - len(pairs) :] = pairs
    fill = build.number(number(value))
    return mb.pad(x=x, pad=amounts.ravel(), mode="constant", constant_val=fill, name=build.named(node.name))


def nearest(build: GraphBuilder, node: Node) -> Var:
    x = build.read(node.args[0])
    return weighted(
        build,
        x,
        [np.eye(old)[nearest_places(old, new, step)] for old, new, step in steps_of(x.shape, node)],
    )


def bilinear(build: GraphBuilder, node: Node) -> Var:
    x = build.read(node.args[0])
    corners = bool(node.args[2])
    return weighted(
        build, x, [linear_shares(old, new, step, corners=corners) for old, new, step in steps_of(x.shape, node)]
    )
