"""Operators that cut, fill up, enlarge and weigh values, as ONNX operators."""

from dataclasses import dataclass, replace

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import Scope, Unconvertible, filled, number, pair, whole_numbers
from tidegate.models.graph import Node, Ref


def sliced(scope: Scope, node: Node, output: str) -> None:
    x, axis, start, end, step = filled(node.args, (None, 0, 0, 0, 1))
    bounds = {"starts": start, "ends": end, "axes": axis, "steps": step}
    names = [
        scope.constant(f"{output}/{name}", np.asarray(whole_numbers(value), np.int64))
        for name, value in bounds.items()
    ]
    scope.emit("Slice", [scope.operand(x, output), *names], output)


def padded(scope: Scope, node: Node, output: str) -> None:
    x, pads, value = filled(node.args, (None, (), 0.0))
    # Torch names pairs of sizes from the last axis on, ONNX all in front and then all behind.
    pairs = np.asarray(whole_numbers(pads), np.int64).reshape(-1, 2)[::-1]
    whole = np.zeros((len(node.shape) + 1, 2), np.int64)
    whole[len(whole) - len(pairs) :] = pairs
    amounts = scope.constant(f"{output}/pads", whole.T.reshape(-1))
    filling = scope.constant(f"{output}/value", np.asarray(number(value), np.float32))
    scope.emit("Pad", [scope.operand(x, output), amounts, filling], output)


def softmax(scope: Scope, node: Node, output: str) -> None:
    (axis,) = whole_numbers(node.args[1])
    scope.emit("Softmax", [scope.operand(node.args[0], output)], output, axis=axis)


def transposed_convolution(scope: Scope, node: Node, output: str) -> None:
    x, weight, bias, stride, padding, more, groups, dilation = filled(node.args, (None, None, None, 1, 0, 0, 1, 1))
    inputs = [scope.operand(argument, output) for argument in (x, weight, bias) if argument is not None]
    scope.emit(
        "ConvTranspose",
        inputs,
        output,
        strides=pair(stride),
        pads=pair(padding) * 2,
        output_padding=pair(more),
        dilations=pair(dilation),
        group=whole_numbers(groups)[0],
    )


def nearest(scope: Scope, node: Node, output: str) -> None:
    """By whole factors a Resize; else rows and columns by torch's own indices, as roundings of the two differ."""
    source, axes = _resized(scope, node)
    # As upsample_nearest2d's nearest_idx does, which looks at no factor where a size doubles.
    axes = [replace(axis, step=0.5) if axis.new == 2 * axis.old else axis for axis in axes]
    if all(axis.new % axis.old == 0 and axis.step == axis.old / axis.new for axis in axes):
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        scope.emit("Resize", [source, "", _scales(scope, axes, output)], output, **how)
        return
    for place, axis in enumerate(axes, start=2):
        # In float32 as there, and never past the last one.
        steps = np.floor(np.arange(axis.new, dtype=np.float32) * np.float32(axis.step))
        chosen = scope.constant(f"{output}/indices{place}", np.minimum(steps, axis.old - 1).astype(np.int64))
        source = scope.emit("Gather", [source, chosen], output if place == 3 else f"{output}/rows", axis=place)


def bilinear(scope: Scope, node: Node, output: str) -> None:
    source, axes = _resized(scope, node)
    transformation = "align_corners" if node.args[2] else "half_pixel"
    scales = _scales(scope, axes, output)
    scope.emit(
        "Resize", [source, "", scales], output, mode="linear", coordinate_transformation_mode=transformation
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """`old` values become `new`, each `step` behind the one before."""

    old: int
    new: int
    step: float


def _resized(scope: Scope, node: Node) -> tuple[str, list[_Axis]]:
    """What is resized, and its rows and columns: torch steps by the factors where those were given."""
    x = node.args[0]
    if not isinstance(x, Ref):
        raise Unconvertible("of a constant")
    wanted, factors = node.args[1], node.args[-1]
    sizes = zip(scope.shapes[x.ref][1:], node.shape[1:], strict=True)
    by_factors = wanted is None and isinstance(factors, tuple)
    steps = [1 / number(each) for each in factors] if by_factors and isinstance(factors, tuple) else [None, None]
    # Where a size stays, torch copies, whatever the factor.
    axes = [
        _Axis(old, new, old / new if step is None or old == new else step)
        for (old, new), step in zip(sizes, steps, strict=True)
    ]
    return scope.operand(x, ""), axes


def _scales(scope: Scope, axes: list[_Axis], output: str) -> str:
    """Of all four axes, samples and channels included.

    Where ONNX Runtime turns channels to the end, as it does for codes, it turns the scales as well and overlooks
    that an attribute `axes` names some of them only: "Gather: indices element out of data bounds".
    """
    factors = [_scale(axis) for axis in axes]
    return scope.constant(f"{output}/scales", np.asarray([1, 1, *factors], np.float32))


def _scale(axis: _Axis) -> np.float32:
    """The float32 nearest to the factor that gives the new size: ONNX rounds size times scale down, in float32."""
    scale = np.float32(1 / axis.step)
    while int(scale * np.float32(axis.old)) != axis.new:
        wanted = np.float32(0 if scale * np.float32(axis.old) > axis.new else np.inf)
        scale = np.nextafter(scale, wanted)
    return scale
