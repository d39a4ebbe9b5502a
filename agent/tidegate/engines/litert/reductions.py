"""Means, normalizations and softmax."""

import math
from collections.abc import Sequence

import numpy as np

from tidegate.engines.litert.graph_builder import GraphBuilder, Value, sized
from tidegate.engines.litert.options import options
from tidegate.engines.plan.arguments import filled, number, whole_numbers
from tidegate.engines.plan.axis_order import plain
from tidegate.engines.plan.quantization import QuantParams
from tidegate.models.graph import Node
from tidegate.models.network import Shape, WeightArray


def reduced(
    build: GraphBuilder,
    x: Value,
    axes: Sequence[int],
    keep: bool,
    shape: Shape,
    params: QuantParams | None,
    kind: str = "MEAN",
) -> Value:
    """The mean, or what else `kind` names, over axes of the graph."""
    rank = len(x.shape)
    gone = {axis % rank for axis in axes}
    places = build.constant(sorted(x.place(axis) for axis in gone), np.int32)
    if keep:
        order = x.order
    else:
        left = [axis for axis in x.order if axis not in gone]
        order = tuple(sorted(left).index(axis) for axis in left)
    return build.emit(kind, [x.tensor, places], build.new(shape, order, params), options("Reducer", keepDims=keep))


def mean(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    x, axes, *rest = node.args
    return reduced(
        build, build.read(x), whole_numbers(axes), bool(rest[0]) if rest else False, sized(node), params
    )


def amax(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    x, axes, *rest = node.args
    keep = bool(rest[0]) if rest else False
    return reduced(build, build.read(x), whole_numbers(axes), keep, sized(node), params, "REDUCE_MAX")


def softmax(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    (axis,) = whole_numbers(node.args[1])
    x = build.read(node.args[0])
    last = axis % len(x.shape)
    if x.order[-1] != last:
        x = build.laid_out(x, (*(each for each in x.order if each != last), last))
    return build.emit("SOFTMAX", [x.tensor], build.new(sized(node), x.order), options("Softmax", beta=1.0))


def normalized(build: GraphBuilder, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """(x - mean) / sqrt(variance + epsilon) over axes of the graph."""
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    middle = reduced(build, x, axes, True, kept, None)
    off = build.emit("SUB", [x.tensor, middle.tensor], build.new(x.shape, x.order), options("Sub"))
    square = build.emit("MUL", [off.tensor, off.tensor], build.new(x.shape, x.order), options("Mul"))
    variance = reduced(build, square, axes, True, kept, None)
    raised = build.emit(
        "ADD", [variance.tensor, build.constant(epsilon)], build.new(kept, x.order), options("Add")
    )
    scale = build.emit("RSQRT", [raised.tensor], build.new(kept, x.order))
    return build.emit("MUL", [off.tensor, scale.tensor], build.new(x.shape, x.order), options("Mul"))


def _scaled(build: GraphBuilder, x: Value, kind: str, array: WeightArray) -> Value:
    full = array.reshape((1,) * (len(x.shape) - array.ndim) + array.shape)
    other = build.constant(np.transpose(full, x.order))
    return build.emit(kind, [x.tensor, other], build.new(x.shape, x.order), options(kind.capitalize()))


def layer_norm(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    x, shape, weight, bias, epsilon = filled(node.args[:5], (None, (), None, None, 1e-5))
    value = build.read(x)
    rank, count = len(value.shape), len(whole_numbers(shape))
    out = normalized(build, value, range(rank - count, rank), number(epsilon))
    for kind, argument in (("MUL", weight), ("ADD", bias)):
        if argument is not None:
            out = _scaled(build, out, kind, build.array(argument))
    return out


def group_norm(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    x, groups, weight, bias, epsilon = filled(node.args[:5], (None, 1, None, None, 1e-5))
    (count,) = whole_numbers(groups)
    value = build.read(x)
    rank = len(value.shape)
    value = build.laid_out(value, plain(rank))
    flat = (1, count, math.prod(value.shape) // count)
    rows = build.reshaped(value, flat, flat, plain(3))
    even = normalized(build, rows, [2], number(epsilon))
    out = build.reshaped(even, value.shape, value.shape, plain(rank))
    for kind, argument in (("MUL", weight), ("ADD", bias)):
        if argument is not None:
            array = build.array(argument)
            out = _scaled(build, out, kind, array.reshape(-1, *[1] * (rank - 2)))
    return out
