"""Operators that work value by value, as Core AI operators."""

from collections.abc import Callable

import numpy as np

from tidegate.engines.coreai.graph_builder import Constant, Convert, GraphBuilder
from tidegate.engines.coreai.runtime import Value, ops
from tidegate.engines.plan.arguments import Unconvertible, filled, number
from tidegate.models.graph import Argument, Node, Ref


def unary(emit: Callable[[Value], Value]) -> Convert:
    """An operator of one value."""
    return lambda build, node: emit(build.read(node.args[0]))


def binary(emit: Callable[..., Value]) -> Convert:
    """Two values, or a value and a weight or number."""

    def convert(build: GraphBuilder, node: Node) -> Value:
        if not any(isinstance(each, Ref) for each in node.args[:2]):
            raise Unconvertible("of constants alone")
        first, second = (_operand(build, each) for each in node.args[:2])
        scale = number(node.kwargs.get("alpha", 1))
        if scale != 1:
            second = ops.broadcasting_mul(second, build.number(scale))
        return emit(first, second)

    return convert


def _operand(build: GraphBuilder, argument: Argument) -> Value | Constant:
    if isinstance(argument, Ref):
        return build.read(argument)
    if isinstance(argument, bool | int | float):
        return build.number(float(argument))
    return build.weight(argument)


def reciprocal(build: GraphBuilder, node: Node) -> Value:
    return ops.broadcasting_divide(build.number(1), build.read(node.args[0]))


def clipped(build: GraphBuilder, x: Value, low: float, high: float) -> Value:
    """The value held between two numbers."""
    return ops.broadcasting_minimum(ops.broadcasting_maximum(x, build.number(low)), build.number(high))


def hardtanh(build: GraphBuilder, node: Node) -> Value:
    low, high = (number(each) for each in filled(node.args[1:], (-1.0, 1.0)))
    return clipped(build, build.read(node.args[0]), low, high)


def hard_sigmoid(build: GraphBuilder, node: Node) -> Value:
    return _hard_sigmoid(build, build.read(node.args[0]))


def hard_swish(build: GraphBuilder, node: Node) -> Value:
    x = build.read(node.args[0])
    return ops.broadcasting_mul(x, _hard_sigmoid(build, x))


def _hard_sigmoid(build: GraphBuilder, x: Value) -> Value:
    raised = clipped(build, ops.broadcasting_add(x, build.number(3)), 0, 6)
    return ops.broadcasting_mul(raised, build.number(1 / 6))


def leaky_relu(build: GraphBuilder, node: Node) -> Value:
    (slope,) = filled(node.args[1:], (0.01,))
    x = build.read(node.args[0])
    return _by_sign(build, x, x, ops.broadcasting_mul(x, build.number(number(slope))))


def elu(build: GraphBuilder, node: Node) -> Value:
    alpha, scale, input_scale = (number(each) for each in filled(node.args[1:], (1, 1, 1)))
    x = build.read(node.args[0])
    # Of what is below zero alone: the other side's powers may be more than the width holds.
    low = ops.broadcasting_mul(ops.broadcasting_minimum(x, build.number(0)), build.number(input_scale))
    fall = ops.broadcasting_mul(ops.broadcasting_sub(ops.exp(low), build.number(1)), build.number(alpha * scale))
    return _by_sign(build, x, ops.broadcasting_mul(x, build.number(scale)), fall)


def _by_sign(build: GraphBuilder, x: Value, above: Value, below: Value) -> Value:
    return ops.broadcasting_where(ops.broadcasting_greater(x, build.number(0)), above, below)


def gelu(build: GraphBuilder, node: Node) -> Value:
    return ops.gelu(build.read(node.args[0]), approximate=str(node.kwargs.get("approximate", "none")))


def mish(build: GraphBuilder, node: Node) -> Value:
    """x tanh(log(1 + e^x)), with the power of what is below zero alone, so that none overflows."""
    x = build.read(node.args[0])
    small = ops.exp(ops.broadcasting_mul(ops.abs_(x), build.number(-1)))
    more = ops.log(ops.broadcasting_add(small, build.number(1)))
    return ops.broadcasting_mul(x, ops.tanh(ops.broadcasting_add(ops.relu(x), more)))


def as_numbers(build: GraphBuilder, truth: Value) -> Value:
    """1 where it holds, else 0."""
    return ops.cast(truth, build.dtype)


def widened(x: Value) -> Value:
    """In fp32, where squares and sums have room."""
    return ops.cast(x, np.float32)
