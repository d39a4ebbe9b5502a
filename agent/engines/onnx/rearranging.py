"""Operators that cut, fill up, enlarge and weigh values, as ONNX operators."""

from collections.abc import Mapping

import numpy as np

from agent.engines.onnx.scope import Convert, Scope, Unconvertible, filled, number, pair, whole_numbers
from agent.models.graph import Node, Ref


def _slice(scope: Scope, node: Node, output: str) -> None:
    x, axis, start, end, step = filled(node.args, (None, 0, 0, 0, 1))
    bounds = {"starts": start, "ends": end, "axes": axis, "steps": step}
    names = [
        scope.constant(f"{output}/{name}", np.asarray(whole_numbers(value), np.int64))
        for name, value in bounds.items()
    ]
    scope.emit("Slice", [scope.operand(x, output), *names], output)


def _pad(scope: Scope, node: Node, output: str) -> None:
    x, pads, value = filled(node.args, (None, (), 0.0))
    # Torch names pairs of sizes from the last axis on, ONNX all in front and then all behind.
    pairs = np.asarray(whole_numbers(pads), np.int64).reshape(-1, 2)[::-1]
    whole = np.zeros((len(node.shape) + 1, 2), np.int64)
    whole[len(whole) - len(pairs) :] = pairs
    amounts = scope.constant(f"{output}/pads", whole.T.reshape(-1))
    filling = scope.constant(f"{output}/value", np.asarray(number(value), np.float32))
    scope.emit("Pad", [scope.operand(x, output), amounts, filling], output)


def _softmax(scope: Scope, node: Node, output: str) -> None:
    (axis,) = whole_numbers(node.args[1])
    scope.emit("Softmax", [scope.operand(node.args[0], output)], output, axis=axis)


def _transposed_convolution(scope: Scope, node: Node, output: str) -> None:
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


def _nearest(scope: Scope, node: Node, output: str) -> None:
    _resize(scope, node, output, mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric")


def _bilinear(scope: Scope, node: Node, output: str) -> None:
    corners = bool(node.args[2])
    _resize(
        scope,
        node,
        output,
        mode="linear",
        coordinate_transformation_mode="align_corners" if corners else "pytorch_half_pixel",
    )


def _resize(scope: Scope, node: Node, output: str, **attributes: str) -> None:
    x = node.args[0]
    if not isinstance(x, Ref):
        raise Unconvertible("of a constant")
    given = scope.shapes[x.ref]
    factors = [new / old for new, old in zip(node.shape[1:], given[1:], strict=True)]
    scales = scope.constant(f"{output}/scales", np.asarray([1, 1, *factors], np.float32))
    scope.emit("Resize", [scope.operand(x, output), "", scales], output, **attributes)


CONVERSIONS: Mapping[str, Convert] = {
    "aten.constant_pad_nd.default": _pad,
    "aten.conv_transpose2d.input": _transposed_convolution,
    "aten.slice.Tensor": _slice,
    "aten.softmax.int": _softmax,
    "aten.upsample_bilinear2d.vec": _bilinear,
    "aten.upsample_nearest2d.vec": _nearest,
}
