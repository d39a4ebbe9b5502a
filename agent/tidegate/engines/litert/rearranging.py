"""Operators that move, join, cut and enlarge values, as LiteRT operators; permuting alone costs nothing."""

import math

import numpy as np

from tidegate.engines.litert.graph_builder import GraphBuilder, Value, sized
from tidegate.engines.litert.options import TensorType, options
from tidegate.engines.litert.windows import image, padded_by
from tidegate.engines.plan.arguments import Unconvertible, filled, number, whole_numbers
from tidegate.engines.plan.axis_order import Order, channels_last, plain
from tidegate.engines.plan.quantization import QuantParams
from tidegate.engines.plan.resampling import nearest_places, steps_of
from tidegate.models.graph import BatchSize, Node
from tidegate.models.network import Shape

_IMAGE_AXES = 4


def reshape(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    first = node.args[1][0] if isinstance(node.args[1], tuple) else None
    if not isinstance(first, BatchSize) and first != -1:
        raise Unconvertible("the first size is not the batch's")
    return flatten(build, node, params)


def flatten(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    x = build.read(node.args[0])
    shape = sized(node)
    kept = _without_turning(x, shape)
    if kept is not None:
        physical = tuple(shape[axis] for axis in kept)
        return build.reshaped(x, physical, shape, kept)
    x = build.laid_out(x, plain(len(x.shape)))
    return build.reshaped(x, shape, shape, plain(len(shape)))


def _without_turning(x: Value, shape: Shape) -> Order | None:
    """The order in which the new axes lie if the numbers stay where they are; None where they can't.

    For images with the channels last whose rows and columns are joined, or that are made of such.
    """
    if x.order == plain(len(x.shape)):
        return plain(len(shape))
    if x.order == (0, 2, 3, 1) and len(shape) == _IMAGE_AXES - 1 and shape[1] == x.shape[1]:
        return (0, 2, 1)
    if x.order == (0, 2, 1) and len(shape) == _IMAGE_AXES and shape[1] == x.shape[1]:
        return (0, 2, 3, 1)
    return None


def permuted(x: Value, axes: list[int]) -> Value:
    """Axis i of the result is axis `axes[i]` of the value: nothing moves."""
    shape = tuple(x.shape[axis] for axis in axes)
    return Value(x.tensor, shape, tuple(axes.index(axis) for axis in x.order), x.params)


def permute(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    x = build.read(node.args[0])
    axes = [axis % len(x.shape) for axis in whole_numbers(node.args[1])]
    if axes[0] != 0:
        raise Unconvertible("the batch axis moves")
    return permuted(x, axes)


def transpose(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    x = build.read(node.args[0])
    first, second = (axis % len(x.shape) for axis in whole_numbers(tuple(node.args[1:])))
    axes = list(range(len(x.shape)))
    axes[first], axes[second] = axes[second], axes[first]
    return permuted(x, axes)


def concatenate(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    parts, axis = filled(node.args, (None, 0))
    if not isinstance(parts, tuple) or not isinstance(axis, int):
        raise Unconvertible(f"of {parts!r} along {axis!r}")
    values = [build.read(part) for part in parts]
    order = values[0].order
    values = [build.laid_out(value, order) for value in values]
    if params is not None:
        # LiteRT joins codes of the same parameters only.
        values = [build.codes(value, params) for value in values]
    table = options("Concatenation", axis=values[0].place(axis))
    return build.emit("CONCATENATION", [v.tensor for v in values], build.new(sized(node), order, params), table)


def sliced(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    argument, axis, start, end, step = filled(node.args, (None, 0, 0, 0, 1))
    x = build.read(argument)
    ((axis,), (start,), (end,), (step,)) = (whole_numbers(each) for each in (axis, start, end, step))
    size = x.shape[axis % len(x.shape)]
    first, last, stride = slice(start, end).indices(size)[0], slice(start, end).indices(size)[1], step
    place = x.place(axis)
    physical = x.physical
    begins, ends, strides = [0] * len(physical), list(physical), [1] * len(physical)
    begins[place], ends[place], strides[place] = first, last, stride
    inputs = [x.tensor, *(build.constant(each, np.int32) for each in (begins, ends, strides))]
    table = options("StridedSlice")
    return build.emit("STRIDED_SLICE", inputs, build.new(sized(node), x.order, x.params), table)


def looked_up(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    """Rows by their numbers; what is no row's becomes the nearest one's."""
    table = build.array(node.args[0])
    x = build.read(node.args[1])
    x = build.laid_out(x, plain(len(x.shape)))
    whole = build.model.tensor(f"{node.name}/whole", x.physical, np.int32)
    types = {"inDataType": TensorType.FLOAT32, "outDataType": TensorType.INT32}
    build.model.emit("CAST", [x.tensor], [whole], options("Cast", **types))
    for kind, limit in (("MINIMUM", len(table) - 1), ("MAXIMUM", 0)):
        cut = build.model.tensor(f"{node.name}/{kind}", x.physical, np.int32)
        build.model.emit(kind, [whole, build.constant(limit, np.int32)], [cut], options("MaximumMinimum"))
        whole = cut
    shape = sized(node)
    out = build.new(shape, plain(len(shape)))
    return build.emit("GATHER", [build.constant(table), whole], out, options("Gather", axis=0))


def padded(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    argument, pads, value = filled(node.args, (None, (), 0.0))
    x = build.read(argument)
    # Torch names pairs of sizes from the last axis on.
    pairs = np.asarray(whole_numbers(pads), np.int64).reshape(-1, 2)[::-1]
    amounts = np.zeros((len(x.shape), 2), np.int64)
    amounts[len(amounts) - len(pairs) :] = pairs
    if (amounts < 0).any():
        raise Unconvertible("negative padding")
    fill = number(value)
    if params is not None and fill:
        # What LiteRT fills codes with is the code of 0.
        x = build.floats(x)
    return padded_by(build, x, [tuple(amounts[axis]) for axis in x.order], fill or None)


def nearest(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    """Rows and columns by torch's own indices, in float32 as there; by whole factors an operator does the same."""
    x = image(build, node.args[0])
    places = [nearest_places(old, new, step) for old, new, step in steps_of(x.shape, node)]
    factors = [new // old if new % old == 0 else 0 for old, new in zip(x.shape[2:], node.shape[1:], strict=True)]
    if all(
        factor and np.array_equal(found, np.arange(len(found)) // factor)
        for factor, found in zip(factors, places, strict=True)
    ):
        sizes = build.constant(node.shape[1:], np.int32)
        out = build.new(sized(node), channels_last(4), x.params)
        return build.emit("RESIZE_NEAREST_NEIGHBOR", [x.tensor, sizes], out, options("ResizeNearestNeighbor"))
    for place, found in enumerate(places, start=1):
        shape = list(x.shape)
        shape[x.order[place]] = len(found)
        out = build.new(tuple(shape), x.order, x.params)
        x = build.emit("GATHER", [x.tensor, build.constant(found, np.int32)], out, options("Gather", axis=place))
    return x


def bilinear(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    x = image(build, node.args[0])
    corners = bool(node.args[2])
    if not corners and not all(
        math.isclose(step, old / new, rel_tol=1e-6) for old, new, step in steps_of(x.shape, node)
    ):
        raise Unconvertible("factors that the sizes don't have")
    sizes = build.constant(node.shape[1:], np.int32)
    table = options("ResizeBilinear", alignCorners=corners, halfPixelCenters=not corners)
    return build.emit(
        "RESIZE_BILINEAR", [x.tensor, sizes], build.new(sized(node), channels_last(4), x.params), table
    )
