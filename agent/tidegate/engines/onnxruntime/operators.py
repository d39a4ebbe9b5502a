"""Operators as ONNX operators: float32 in, float32 out, under the name `output`."""

import math

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import Convert, GraphBuilder
from tidegate.engines.onnxruntime.protobuf import Attribute
from tidegate.engines.plan.arguments import Unconvertible, filled, number, pair, whole_numbers
from tidegate.engines.plan.quantization import LEVELS, QuantParams
from tidegate.models.graph import BatchSize, Node, Ref

_ZERO_TO_ONE = QuantParams(1 / LEVELS, 0)
"""All that a sigmoid gives."""


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


def convolution(build: GraphBuilder, node: Node, output: str) -> None:
    inputs = [build.operand(argument, output) for argument in node.args[:3] if argument is not None]
    build.emit("Conv", inputs, output, **convolution_attributes(node))


def linear(build: GraphBuilder, node: Node, output: str) -> None:
    x, weight, *rest = node.args
    inputs = [build.operand(x, output), build.operand(weight, output)]
    bias = rest[0] if rest else None
    if len(node.shape) == 1:
        if bias is not None:
            inputs.append(build.operand(bias, output))
        build.emit("Gemm", inputs, output, transB=1)
        return
    transposed = build.emit("Transpose", [inputs[1]], f"{output}/transposed", perm=[1, 0])
    if bias is None:
        build.emit("MatMul", [inputs[0], transposed], output)
        return
    product = build.emit("MatMul", [inputs[0], transposed], f"{output}/product")
    build.emit("Add", [product, build.operand(bias, output)], output)


def binary(kind: str) -> Convert:
    def emit(build: GraphBuilder, node: Node, output: str) -> None:
        names = [build.operand(argument, f"{output}/{index}") for index, argument in enumerate(node.args)]
        build.emit(kind, names, output)

    return emit


def unary(kind: str) -> Convert:
    def emit(build: GraphBuilder, node: Node, output: str) -> None:
        build.emit(kind, [build.operand(node.args[0], output)], output)

    return emit


def leaky(kind: str, slope: float) -> Convert:
    def emit(build: GraphBuilder, node: Node, output: str) -> None:
        alpha, *others = filled(node.args[1:], (slope, 1, 1))
        if kind == "Elu" and others != [1, 1]:
            raise Unconvertible("a scale of its own")
        build.emit(kind, [build.operand(node.args[0], output)], output, alpha=number(alpha))

    return emit


def hard_sigmoid(build: GraphBuilder, node: Node, output: str) -> None:
    build.emit("HardSigmoid", [build.operand(node.args[0], output)], output, alpha=1 / 6, beta=0.5)


def silu(build: GraphBuilder, node: Node, output: str) -> None:
    x = build.operand(node.args[0], output)
    share = build.emit("Sigmoid", [x], f"{output}/sigmoid")
    if build.on_codes:
        share = build.rounded(share, _ZERO_TO_ONE, f"{output}/share")
    build.emit("Mul", [x, share], output)


def gelu(build: GraphBuilder, node: Node, output: str) -> None:
    approximate = str(node.kwargs.get("approximate", "none"))
    build.emit("Gelu", [build.operand(node.args[0], output)], output, approximate=approximate)


def hardtanh(build: GraphBuilder, node: Node, output: str) -> None:
    low, high = filled(node.args[1:], (-1.0, 1.0))
    bounds = [
        build.constant(f"{output}/{name}", np.asarray(number(value), np.float32))
        for name, value in (("low", low), ("high", high))
    ]
    build.emit("Clip", [build.operand(node.args[0], output), *bounds], output)


def mean(build: GraphBuilder, node: Node, output: str) -> None:
    x, axes, *rest = node.args
    keep = bool(rest[0]) if rest else False
    source = build.operand(x, output)
    numbers = whole_numbers(axes)
    if isinstance(x, Ref) and len(build.shapes[x.ref]) == 3 and {axis % 4 for axis in numbers} == {2, 3}:
        # ONNX Runtime has a kernel for this in its blocked layout and in int8; ReduceMean would leave both.
        pooled = output if keep else f"{output}/pooled"
        build.emit("GlobalAveragePool", [source], pooled)
        if not keep:
            build.emit("Flatten", [pooled], output, axis=1)
        return
    reduced = build.constant(f"{output}/axes", np.asarray(numbers, np.int64))
    build.emit("ReduceMean", [source, reduced], output, keepdims=int(keep))


def amax(build: GraphBuilder, node: Node, output: str) -> None:
    x, axes, *rest = node.args
    reduced = build.constant(f"{output}/axes", np.asarray(whole_numbers(axes), np.int64))
    keep = int(bool(rest[0])) if rest else 0
    build.emit("ReduceMax", [build.operand(x, output), reduced], output, keepdims=keep)


def adaptive_average(build: GraphBuilder, node: Node, output: str) -> None:
    source = build.operand(node.args[0], output)
    target = pair(node.args[1])
    if not isinstance(node.args[0], Ref):
        raise Unconvertible("of a constant")
    sizes = build.shapes[node.args[0].ref][1:]
    if target == [1, 1]:
        build.emit("GlobalAveragePool", [source], output)
    elif list(sizes) == target:
        build.emit("Identity", [source], output)
    elif all(size % wanted == 0 for size, wanted in zip(sizes, target, strict=True)):
        kernel = [size // wanted for size, wanted in zip(sizes, target, strict=True)]
        build.emit("AveragePool", [source], output, kernel_shape=kernel, strides=kernel)
    else:
        raise Unconvertible(f"from {sizes} to {target}: windows of different sizes")


def average_pool(build: GraphBuilder, node: Node, output: str) -> None:
    kernel, stride, padding, ceil, count_padding, divisor = filled(node.args[1:], (None, (), 0, False, True, None))
    if divisor is not None:
        raise Unconvertible("a divisor of its own")
    if not isinstance(node.args[0], Ref):
        raise Unconvertible("of a constant")
    widths, pads = pair(kernel), pair(padding)
    steps = pair(stride) if stride else widths
    # ONNX Runtime's kernel in int8 doesn't know ceil_mode: windows that reach over the edge get padding there.
    spans = zip(build.shapes[node.args[0].ref][1:], node.shape[1:], widths, steps, pads, strict=True)
    over = [
        max(0, (count - 1) * step + width - size - 2 * pad) if ceil else 0
        for size, count, width, step, pad in spans
    ]
    ends = [pad + more for pad, more in zip(pads, over, strict=True)]
    if any(over) and (
        (count_padding and any(pads)) or any(end >= width for end, width in zip(ends, widths, strict=True))
    ):
        raise Unconvertible("windows that reach over the padding")
    build.emit(
        "AveragePool",
        [build.operand(node.args[0], output)],
        output,
        kernel_shape=widths,
        strides=steps,
        pads=[*pads, *ends],
        count_include_pad=int(bool(count_padding) and not any(over)),
    )


def max_pool(build: GraphBuilder, node: Node, output: str) -> None:
    kernel, stride, padding, dilation, ceil = filled(node.args[1:], (None, (), 0, 1, False))
    build.emit(
        "MaxPool",
        [build.operand(node.args[0], output)],
        output,
        kernel_shape=pair(kernel),
        strides=pair(stride) if stride else pair(kernel),
        pads=pair(padding) * 2,
        dilations=pair(dilation),
        ceil_mode=int(bool(ceil)),
    )


def reshape(build: GraphBuilder, node: Node, output: str) -> None:
    first = node.args[1][0] if isinstance(node.args[1], tuple) else None
    if not isinstance(first, BatchSize) and first != -1:
        raise Unconvertible("the first size is not the batch's")
    flatten(build, node, output)


def flatten(build: GraphBuilder, node: Node, output: str) -> None:
    # The batch axis stands first in every value; 0 keeps it as it is.
    target = build.constant(f"{output}/shape", np.asarray([0, *node.shape], np.int64))
    build.emit("Reshape", [build.operand(node.args[0], output), target], output)


def layer_norm(build: GraphBuilder, node: Node, output: str) -> None:
    x, shape, weight, bias, epsilon = filled(node.args[:5], (None, (), None, None, 1e-5))
    inputs = [build.operand(x, output)]
    sizes = whole_numbers(shape)
    inputs.append(
        build.constant(f"{output}/scale", np.ones(sizes, np.float32))
        if weight is None
        else build.operand(weight, output)
    )
    if bias is not None:
        inputs.append(build.operand(bias, output))
    build.emit("LayerNormalization", inputs, output, axis=-len(sizes), epsilon=number(epsilon))


def group_norm(build: GraphBuilder, node: Node, output: str) -> None:
    """Each group of channels as one row, which a layer norm then takes; scale and shift are the channels' own."""
    x, groups, weight, bias, epsilon = filled(node.args[:5], (None, 1, None, None, 1e-5))
    (count,) = whole_numbers(groups)
    rows = build.constant(f"{output}/rows", np.asarray([0, count, -1], np.int64))
    grouped = build.emit("Reshape", [build.operand(x, output), rows], f"{output}/grouped")
    ones = build.constant(f"{output}/ones", np.ones(math.prod(node.shape) // count, np.float32))
    even = build.emit("LayerNormalization", [grouped, ones], f"{output}/even", axis=-1, epsilon=number(epsilon))
    last = output if weight is None and bias is None else f"{output}/plain"
    shape = build.constant(f"{output}/shape", np.asarray([0, *node.shape], np.int64))
    build.emit("Reshape", [even, shape], last)
    per_channel = build.constant(f"{output}/channels", np.asarray([-1, *[1] * (len(node.shape) - 1)], np.int64))
    for kind, operand in (("Mul", weight), ("Add", bias)):
        if operand is None:
            continue
        column = build.emit("Reshape", [build.operand(operand, output), per_channel], f"{output}/{kind}")
        is_last = kind == "Add" or bias is None
        last = build.emit(kind, [last, column], output if is_last else f"{output}/scaled")


def transpose(build: GraphBuilder, node: Node, output: str) -> None:
    x, *axes = node.args
    order = list(range(len(node.shape) + 1))
    first, second = (axis % len(order) for axis in whole_numbers(tuple(axes)))
    order[first], order[second] = order[second], order[first]
    build.emit("Transpose", [build.operand(x, output)], output, perm=order)


def permute(build: GraphBuilder, node: Node, output: str) -> None:
    order = [axis % (len(node.shape) + 1) for axis in whole_numbers(node.args[1])]
    if order[0] != 0:
        raise Unconvertible("the batch axis moves")
    build.emit("Transpose", [build.operand(node.args[0], output)], output, perm=order)


def attention(build: GraphBuilder, node: Node, output: str) -> None:
    """softmax(q k^T / sqrt(d)) v over (samples, heads, tokens, d), without mask or dropout."""
    if len(node.args) != 3:
        raise Unconvertible("only query, key and value; no mask, dropout or scale of its own")
    query, key, value = (build.operand(argument, output) for argument in node.args)
    shape = build.shapes[node.args[1].ref] if isinstance(node.args[1], Ref) else ()
    rank = len(shape) + 1
    order = [*range(rank - 2), rank - 1, rank - 2]
    turned = build.emit("Transpose", [key], f"{output}/key", perm=order)
    scores = build.emit("MatMul", [query, turned], f"{output}/scores")
    scale = build.constant(f"{output}/scale", np.asarray(shape[-1] ** -0.5, np.float32))
    scaled = build.emit("Mul", [scores, scale], f"{output}/scaled")
    build.emit("MatMul", [build.emit("Softmax", [scaled], f"{output}/softmax", axis=-1), value], output)


def concatenate(build: GraphBuilder, node: Node, output: str) -> None:
    parts, axis = filled(node.args, (None, 0))
    if not isinstance(parts, tuple) or not isinstance(axis, int):
        raise Unconvertible(f"of {parts!r} along {axis!r}")
    build.emit("Concat", [build.operand(part, output) for part in parts], output, axis=axis)
