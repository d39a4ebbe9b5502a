"""Operators that cut, fill up, enlarge and weigh values, as ONNX operators."""

from dataclasses import dataclass, replace

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import GraphBuilder
from tidegate.engines.plan.arguments import Unconvertible, filled, number, pair, whole_numbers
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
    # As upsample_nearest2d's nearest_idx does, which looks at no factor where a size doubles.
    axes = [replace(axis, step=0.5) if axis.new == 2 * axis.old else axis for axis in axes]
    if all(axis.new % axis.old == 0 and axis.step == axis.old / axis.new for axis in axes):
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        build.emit("Resize", [source, "", _scales(build, axes, output)], output, **how)
        return
    for place, axis in enumerate(axes, start=2):
        # In float32 as there, and never past the last one.
        steps = np.floor(np.arange(axis.new, dtype=np.float32) * np.float32(axis.step))
        chosen = build.constant(f"{output}/indices{place}", np.minimum(steps, axis.old - 1).astype(np.int64))
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
    wanted, factors = node.args[1], node.args[-1]
    sizes = zip(build.shapes[x.ref][1:], node.shape[1:], strict=True)
    by_factors = wanted is None and isinstance(factors, tuple)
    steps = [1 / number(each) for each in factors] if by_factors and isinstance(factors, tuple) else [None, None]
    # Where a size stays, torch copies, whatever the factor.
    axes = [
        _Axis(old, new, old / new if step is None or old == new else step)
        for (old, new), step in zip(sizes, steps, strict=True)
    ]
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
