"""Operators as ONNX operators: float32 in, float32 out, under the name `output`."""

import math

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import (
    Convert,
    Scope,
    Unconvertible,
    filled,
    number,
    pair,
    whole_numbers,
)
from tidegate.engines.onnxruntime.protobuf import Attribute
from tidegate.models.graph import BatchSize, Node, Ref


def convolution_attributes(node: Node) -> dict[str, Attribute]:
    """Attributes of Conv from aten.conv2d's arguments after the bias."""
    stride, padding, dilation, groups = filled(node.args[3:], ((1,), (0,), (1,), 1))
    if not isinstance(groups, int):
        raise Unconvertible(f"groups {groups!r}")
    return {
        "strides": pair(stride),
        "pads": pair(padding) * 2,
        "dilations": pair(dilation),
        "group": groups,
    }


def convolution(scope: Scope, node: Node, output: str) -> None:
    inputs = [scope.operand(argument, output) for argument in node.args[:3] if argument is not None]
    scope.emit("Conv", inputs, output, **convolution_attributes(node))


def linear(scope: Scope, node: Node, output: str) -> None:
    x, weight, *rest = node.args
    inputs = [scope.operand(x, output), scope.operand(weight, output)]
    bias = rest[0] if rest else None
    if len(node.shape) == 1:
        if bias is not None:
            inputs.append(scope.operand(bias, output))
        scope.emit("Gemm", inputs, output, transB=1)
        return
    transposed = scope.emit("Transpose", [inputs[1]], f"{output}/transposed", perm=[1, 0])
    if bias is None:
        scope.emit("MatMul", [inputs[0], transposed], output)
        return
    product = scope.emit("MatMul", [inputs[0], transposed], f"{output}/product")
    scope.emit("Add", [product, scope.operand(bias, output)], output)


def binary(kind: str) -> Convert:
    def emit(scope: Scope, node: Node, output: str) -> None:
        names = [scope.operand(argument, f"{output}/{index}") for index, argument in enumerate(node.args)]
        scope.emit(kind, names, output)

    return emit


def unary(kind: str) -> Convert:
    def emit(scope: Scope, node: Node, output: str) -> None:
        scope.emit(kind, [scope.operand(node.args[0], output)], output)

    return emit


def leaky(kind: str, slope: float) -> Convert:
    def emit(scope: Scope, node: Node, output: str) -> None:
        alpha, *others = filled(node.args[1:], (slope, 1, 1))
        if kind == "Elu" and others != [1, 1]:
            raise Unconvertible("a scale of its own")
        scope.emit(kind, [scope.operand(node.args[0], output)], output, alpha=number(alpha))

    return emit


def hard_sigmoid(scope: Scope, node: Node, output: str) -> None:
    scope.emit("HardSigmoid", [scope.operand(node.args[0], output)], output, alpha=1 / 6, beta=0.5)


def silu(scope: Scope, node: Node, output: str) -> None:
    x = scope.operand(node.args[0], output)
    scope.emit("Mul", [x, scope.emit("Sigmoid", [x], f"{output}/sigmoid")], output)


def gelu(scope: Scope, node: Node, output: str) -> None:
    approximate = str(node.kwargs.get("approximate", "none"))
    scope.emit("Gelu", [scope.operand(node.args[0], output)], output, approximate=approximate)


def hardtanh(scope: Scope, node: Node, output: str) -> None:
    low, high = filled(node.args[1:], (-1.0, 1.0))
    bounds = [
        scope.constant(f"{output}/{name}", np.asarray(number(value), np.float32))
        for name, value in (("low", low), ("high", high))
    ]
    scope.emit("Clip", [scope.operand(node.args[0], output), *bounds], output)


def mean(scope: Scope, node: Node, output: str) -> None:
    x, axes, *rest = node.args
    keep = bool(rest[0]) if rest else False
    source = scope.operand(x, output)
    numbers = whole_numbers(axes)
    if isinstance(x, Ref) and len(scope.shapes[x.ref]) == 3 and {axis % 4 for axis in numbers} == {2, 3}:
        # ONNX Runtime has a kernel for this in its blocked layout and in int8; ReduceMean would leave both.
        pooled = output if keep else f"{output}/pooled"
        scope.emit("GlobalAveragePool", [source], pooled)
        if not keep:
            scope.emit("Flatten", [pooled], output, axis=1)
        return
    reduced = scope.constant(f"{output}/axes", np.asarray(numbers, np.int64))
    scope.emit("ReduceMean", [source, reduced], output, keepdims=int(keep))


def adaptive_average(scope: Scope, node: Node, output: str) -> None:
    source = scope.operand(node.args[0], output)
    target = pair(node.args[1])
    if not isinstance(node.args[0], Ref):
        raise Unconvertible("of a constant")
    sizes = scope.shapes[node.args[0].ref][1:]
    if target == [1, 1]:
        scope.emit("GlobalAveragePool", [source], output)
    elif list(sizes) == target:
        scope.emit("Identity", [source], output)
    elif all(size % wanted == 0 for size, wanted in zip(sizes, target, strict=True)):
        kernel = [size // wanted for size, wanted in zip(sizes, target, strict=True)]
        scope.emit("AveragePool", [source], output, kernel_shape=kernel, strides=kernel)
    else:
        raise Unconvertible(f"from {sizes} to {target}: windows of different sizes")


def average_pool(scope: Scope, node: Node, output: str) -> None:
    kernel, stride, padding, ceil, count_padding, divisor = filled(node.args[1:], (None, (), 0, False, True, None))
    if divisor is not None:
        raise Unconvertible("a divisor of its own")
    scope.emit(
        "AveragePool",
        [scope.operand(node.args[0], output)],
        output,
        kernel_shape=pair(kernel),
        strides=pair(stride) if stride else pair(kernel),
        pads=pair(padding) * 2,
        ceil_mode=int(bool(ceil)),
        count_include_pad=int(bool(count_padding)),
    )


def max_pool(scope: Scope, node: Node, output: str) -> None:
    kernel, stride, padding, dilation, ceil = filled(node.args[1:], (None, (), 0, 1, False))
    scope.emit(
        "MaxPool",
        [scope.operand(node.args[0], output)],
        output,
        kernel_shape=pair(kernel),
        strides=pair(stride) if stride else pair(kernel),
        pads=pair(padding) * 2,
        dilations=pair(dilation),
        ceil_mode=int(bool(ceil)),
    )


def reshape(scope: Scope, node: Node, output: str) -> None:
    first = node.args[1][0] if isinstance(node.args[1], tuple) else None
    if not isinstance(first, BatchSize) and first != -1:
        raise Unconvertible("the first size is not the batch's")
    flatten(scope, node, output)


def flatten(scope: Scope, node: Node, output: str) -> None:
    # The batch axis stands first in every value; 0 keeps it as it is.
    target = scope.constant(f"{output}/shape", np.asarray([0, *node.shape], np.int64))
    scope.emit("Reshape", [scope.operand(node.args[0], output), target], output)


def layer_norm(scope: Scope, node: Node, output: str) -> None:
    x, shape, weight, bias, epsilon = filled(node.args[:5], (None, (), None, None, 1e-5))
    inputs = [scope.operand(x, output)]
    sizes = whole_numbers(shape)
    inputs.append(
        scope.constant(f"{output}/scale", np.ones(sizes, np.float32))
        if weight is None
        else scope.operand(weight, output)
    )
    if bias is not None:
        inputs.append(scope.operand(bias, output))
    scope.emit("LayerNormalization", inputs, output, axis=-len(sizes), epsilon=number(epsilon))


def group_norm(scope: Scope, node: Node, output: str) -> None:
    """Each group of channels as one row, which a layer norm then takes; scale and shift are the channels' own."""
    x, groups, weight, bias, epsilon = filled(node.args[:5], (None, 1, None, None, 1e-5))
    (count,) = whole_numbers(groups)
    rows = scope.constant(f"{output}/rows", np.asarray([0, count, -1], np.int64))
    grouped = scope.emit("Reshape", [scope.operand(x, output), rows], f"{output}/grouped")
    ones = scope.constant(f"{output}/ones", np.ones(math.prod(node.shape) // count, np.float32))
    even = scope.emit("LayerNormalization", [grouped, ones], f"{output}/even", axis=-1, epsilon=number(epsilon))
    last = output if weight is None and bias is None else f"{output}/plain"
    shape = scope.constant(f"{output}/shape", np.asarray([0, *node.shape], np.int64))
    scope.emit("Reshape", [even, shape], last)
    per_channel = scope.constant(f"{output}/channels", np.asarray([-1, *[1] * (len(node.shape) - 1)], np.int64))
    for kind, operand in (("Mul", weight), ("Add", bias)):
        if operand is None:
            continue
        column = scope.emit("Reshape", [scope.operand(operand, output), per_channel], f"{output}/{kind}")
        is_last = kind == "Add" or bias is None
        last = scope.emit(kind, [last, column], output if is_last else f"{output}/scaled")


def transpose(scope: Scope, node: Node, output: str) -> None:
    x, *axes = node.args
    order = list(range(len(node.shape) + 1))
    first, second = (axis % len(order) for axis in whole_numbers(tuple(axes)))
    order[first], order[second] = order[second], order[first]
    scope.emit("Transpose", [scope.operand(x, output)], output, perm=order)


def permute(scope: Scope, node: Node, output: str) -> None:
    order = [axis % (len(node.shape) + 1) for axis in whole_numbers(node.args[1])]
    if order[0] != 0:
        raise Unconvertible("the batch axis moves")
    scope.emit("Transpose", [scope.operand(node.args[0], output)], output, perm=order)


def attention(scope: Scope, node: Node, output: str) -> None:
    """softmax(q k^T / sqrt(d)) v over (samples, heads, tokens, d), without mask or dropout."""
    if len(node.args) != 3:
        raise Unconvertible("only query, key and value; no mask, dropout or scale of its own")
    query, key, value = (scope.operand(argument, output) for argument in node.args)
    shape = scope.shapes[node.args[1].ref] if isinstance(node.args[1], Ref) else ()
    rank = len(shape) + 1
    order = [*range(rank - 2), rank - 1, rank - 2]
    turned = scope.emit("Transpose", [key], f"{output}/key", perm=order)
    scores = scope.emit("MatMul", [query, turned], f"{output}/scores")
    scale = scope.constant(f"{output}/scale", np.asarray(shape[-1] ** -0.5, np.float32))
    scaled = scope.emit("Mul", [scores, scale], f"{output}/scaled")
    scope.emit("MatMul", [scope.emit("Softmax", [scaled], f"{output}/softmax", axis=-1), value], output)


def concatenate(scope: Scope, node: Node, output: str) -> None:
    parts, axis = filled(node.args, (None, 0))
    if not isinstance(parts, tuple) or not isinstance(axis, int):
        raise Unconvertible(f"of {parts!r} along {axis!r}")
    scope.emit("Concat", [scope.operand(part, output) for part in parts], output, axis=axis)
