"""Operators that cut, fill up, enlarge and weigh values, as ONNX operators."""

from dataclasses import dataclass

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import GraphBuilder
from tidegate.engines.onnxruntime.protobuf import ElementType
from tidegate.engines.plan.arguments import Unconvertible, filled, number, pair, whole_numbers
from tidegate.engines.plan.resampling import nearest_places, steps_of
from tidegate.models.graph import Node, Ref


def sliced(build: GraphBuilder, node: Node, output: str) -> None:
    x, axis, start, end, step = filled(node.args, (None, 0, 0, 0, 1))
    bounds = {"starts": start, "ends": end, "axes": axis, "steps": step}
    names = [
        build.constant(f"{output}/{name}", np.asarray(whole_numbers(value), np.int64))
        for name, value in bounds.items()
    ]
    build.emit("Slice", [build.operand(x, output), *names], output)


def padded(build: GraphBuilder, node: Node, output: str) -> None:
    x, pads, value = filled(node.args, (None, (), 0.0))
    # Torch names pairs of sizes from the last axis on, ONNX all in front and then all behind.
    pairs = np.asarray(whole_numbers(pads), np.int64).reshape(-1, 2)[::-1]
    whole = np.zeros((len(node.shape) + 1, 2), np.int64)
    whole[len(whole) - len(pairs) :] = pairs
    amounts = build.constant(f"{output}/pads", whole.T.reshape(-1))
    filling = build.constant(f"{output}/value", np.asarray(number(value), np.float32))
    build.emit("Pad", [build.operand(x, output), amounts, filling], output)


def looked_up(build: GraphBuilder, node: Node, output: str) -> None:
    """Rows by their numbers; what is no row's becomes the nearest one's, since Gather refuses it."""
    table, numbers = (build.operand(argument, output) for argument in node.args)
    whole = build.emit("Cast", [numbers], f"{output}/whole", to=ElementType.INT64)
    nothing, one = (build.constant(f"{output}/{n}", np.asarray([n], np.int64)) for n in (0, 1))
    count = build.emit("Shape", [table], f"{output}/count", start=0, end=1)
    last = build.emit("Sub", [count, one], f"{output}/last")
    low = build.emit("Max", [whole, nothing], f"{output}/low")
    rows = build.emit("Min", [low, last], f"{output}/rows")
    build.emit("Gather", [table, rows], output)


def softmax(build: GraphBuilder, node: Node, output: str) -> None:
    (axis,) = whole_numbers(node.args[1])
    build.emit("Softmax", [build.operand(node.args[0], output)], output, axis=axis)


def transposed_convolution(build: GraphBuilder, node: Node, output: str) -> None:
    x, weight, bias, stride, padding, more, groups, dilation = filled(node.args, (None, None, None, 1, 0, 0, 1, 1))
    inputs = [build.operand(argument, output) for argument in (x, weight, bias) if argument is not None]
    build.emit(
        "ConvTranspose",
        inputs,
        output,
        strides=pair(stride),
        pads=pair(padding) * 2,
        output_padding=pair(more),
        dilations=pair(dilation),
        group=whole_numbers(groups)[0],
    )


def nearest(build: GraphBuilder, node: Node, output: str) -> None:
    """By whole factors a Resize; else rows and columns by torch's own indices, as roundings of the two differ."""
    source, axes = _resized(build, node)
    if all(axis.new % axis.old == 0 and axis.step == axis.old / axis.new for axis in axes):
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        build.emit("Resize", [source, "", _scales(build, axes, output)], output, **how)
        return
    for place, axis in enumerate(axes, start=2):
        places = nearest_places(axis.old, axis.new, axis.step).astype(np.int64)
        chosen = build.constant(f"{output}/indices{place}", places)
        source = build.emit("Gather", [source, chosen], output if place == 3 else f"{output}/rows", axis=place)


def bilinear(build: GraphBuilder, node: Node, output: str) -> None:
    source, axes = _resized(build, node)
    transformation = "align_corners" if node.args[2] else "half_pixel"
    scales = _scales(build, axes, output)
    build.emit(
        "Resize", [source, "", scales], output, mode="linear", coordinate_transformation_mode=transformation
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """`old` values become `new`, each `step` behind the one before."""

    old: int
    new: int
    step: float


def _resized(build: GraphBuilder, node: Node) -> tuple[str, list[_Axis]]:
    """What is resized, and its rows and columns: torch steps by the factors where those were given."""
    x = node.args[0]
    if not isinstance(x, Ref):
        raise Unconvertible("of a constant")
    axes = [_Axis(*each) for each in steps_of((1, *build.shapes[x.ref]), node)]
    return build.operand(x, ""), axes


def _scales(build: GraphBuilder, axes: list[_Axis], output: str) -> str:
    """Of all four axes, samples and channels included.

    Where ONNX Runtime turns channels to the end, as it does for codes, it turns the scales as well and overlooks
    that an attribute `axes` names some of them only: "Gather: indices element out of data bounds".
    """
    factors = [_scale(axis) for axis in axes]
    return build.constant(f"{output}/scales", np.asarray([1, 1, *factors], np.float32))


def _scale(axis: _Axis) -> np.float32:
    """The float32 nearest to the factor that gives the new size: ONNX rounds size times scale down, in float32."""
    scale = np.float32(1 / axis.step)
    while int(scale * np.float32(axis.old)) != axis.new:
        wanted = np.float32(0 if scale * np.float32(axis.old) > axis.new else np.inf)
        scale = np.nextafter(scale, wanted)
    return scale
