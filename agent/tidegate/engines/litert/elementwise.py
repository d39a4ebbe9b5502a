"""Operators that work value by value."""

import math

import numpy as np

from tidegate.engines.litert.flatbuffer import SIGNED as LEAST
from tidegate.engines.litert.graph_builder import Convert, GraphBuilder, Value, sized
from tidegate.engines.litert.options import NONE, RELU6, options
from tidegate.engines.plan.arguments import Unconvertible, filled, number
from tidegate.engines.plan.axis_order import Order
from tidegate.engines.plan.quantization import LEVELS, QuantParams
from tidegate.models.graph import Argument, Node, Ref

_BYTE_SHARE = QuantParams(1 / 256, 0)
"""What LiteRT's sigmoid on codes gives: 0 to 255/256."""
_BYTE_SIGN = QuantParams(1 / 128, 128)
"""What its tanh on codes gives: -1 to 127/128."""


def binary(kind: str) -> Convert:
    """ADD, SUB, MUL or DIV."""

    def emit(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
        return emit_binary(build, node, kind, params)

    return emit


def emit_binary(
    build: GraphBuilder, node: Node, kind: str, params: QuantParams | None, activation: int = NONE
) -> Value:
    """Two values, or a value and a constant, in the order in which the larger value lies."""
    shape = sized(node)
    order = _common_order(build, node, len(shape))
    inputs = [_operand(build, argument, order, len(shape), params is not None) for argument in node.args[:2]]
    table = options(kind.capitalize(), fusedActivationFunction=activation)
    return build.emit(kind, inputs, build.new(shape, order, params), table)


def _common_order(build: GraphBuilder, node: Node, rank: int) -> Order:
    values = [build.read(argument) for argument in node.args[:2] if isinstance(argument, Ref)]
    if not values or any(len(value.shape) != rank for value in values):
        raise Unconvertible("values of different ranks")
    return max(values, key=lambda value: math.prod(value.shape)).order


def _operand(build: GraphBuilder, argument: Argument, order: Order, rank: int, on_codes: bool) -> int:
    if isinstance(argument, Ref):
        return build.laid_out(build.read(argument), order).tensor
    if isinstance(argument, bool | int | float):
        return _number_in_codes(build, float(argument)) if on_codes else build.constant(float(argument))
    array = build.array(argument)
    full = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return build.constant(np.transpose(full, order))


def _number_in_codes(build: GraphBuilder, value: float) -> int:
    """A constant as a code that is exactly it."""
    params = QuantParams(abs(value) / LEVELS if value else 1.0, LEVELS if value < 0 else 0)
    code = (0 if value <= 0 else LEVELS) - LEAST
    return build.model.fixed(f"number{value}", np.asarray(code, np.int8), params)


def unary(kind: str, table: str | None = None, **values: object) -> Convert:
    """An operator of one value that has a LiteRT operator of its own, on codes too where the converter says so."""

    def emit(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
        x = build.read(node.args[0])
        out = build.new(sized(node), x.order, params)
        return build.emit(kind, [x.tensor], out, None if table is None else options(table, **values))

    return emit


def chosen(kind: str) -> Convert:
    """MAXIMUM or MINIMUM of two values."""

    def emit(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
        shape = sized(node)
        order = _common_order(build, node, len(shape))
        inputs = [_operand(build, argument, order, len(shape), False) for argument in node.args[:2]]
        return build.emit(kind, inputs, build.new(shape, order, params), options("MaximumMinimum"))

    return emit


def reciprocal(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    x = build.read(node.args[0])
    return build.emit("DIV", [build.constant(1.0), x.tensor], build.new(x.shape, x.order), options("Div"))


def without_a_form(_build: GraphBuilder, _node: Node, _params: QuantParams | None) -> Value:
    raise Unconvertible("LiteRT has no such operator; onnx and eager have")


def leaky_relu(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    (alpha,) = filled(node.args[1:], (0.01,))
    return unary("LEAKY_RELU", "LeakyRelu", alpha=number(alpha))(build, node, params)


def elu(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    if list(filled(node.args[1:], (1, 1, 1))) != [1, 1, 1]:
        raise Unconvertible("a scale of its own")
    return unary("ELU")(build, node, params)


def gelu(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    approximate = str(node.kwargs.get("approximate", "none")) == "tanh"
    return unary("GELU", "Gelu", approximate=approximate)(build, node, params)


def sigmoid(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    return unary("LOGISTIC")(build, node, None if params is None else _BYTE_SHARE)


def tanh(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    return unary("TANH")(build, node, None if params is None else _BYTE_SIGN)


def silu(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    x = build.read(node.args[0])
    share = sigmoid(build, node, params)
    out = build.new(sized(node), x.order, params)
    return build.emit("MUL", [x.tensor, share.tensor], out, options("Mul"))


def hard_sigmoid(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    """min(max(x + 3, 0), 6) / 6"""
    x = build.read(node.args[0])
    shape, order = sized(node), x.order
    numbers = _number_in_codes if params is not None else GraphBuilder.constant
    up_to_6 = None if params is None else QuantParams(6 / LEVELS, 0)
    raised = build.emit(
        "ADD",
        [x.tensor, numbers(build, 3.0)],
        build.new(shape, order, up_to_6),
        options("Add", fusedActivationFunction=RELU6),
    )
    out = build.new(shape, order, params)
    return build.emit("MUL", [raised.tensor, numbers(build, 1 / 6)], out, options("Mul"))


def mish(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    """x tanh(log(1 + e^x)) = x y / (y + 2) with y = e^x (e^x + 2); above 20 it is x in float32."""
    x = build.read(node.args[0])

    def step(kind: str, table: str, *inputs: int) -> int:
        return build.emit(kind, inputs, build.new(x.shape, x.order), options(table)).tensor

    two = build.constant(2.0)
    power = step("EXP", "Exp", step("MINIMUM", "MaximumMinimum", x.tensor, build.constant(20.0)))
    y = step("MUL", "Mul", power, step("ADD", "Add", power, two))
    share = step("DIV", "Div", y, step("ADD", "Add", y, two))
    return build.emit("MUL", [x.tensor, share], build.new(x.shape, x.order), options("Mul"))


def hardtanh(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    low, high = (number(each) for each in filled(node.args[1:], (-1.0, 1.0)))
    x = build.read(node.args[0])
    fused = {(0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}.get((low, high))
    if fused is not None:
        return build.emit(fused, [x.tensor], build.new(x.shape, x.order))
    table = options("MaximumMinimum")
    above = build.emit("MAXIMUM", [x.tensor, build.constant(low)], build.new(x.shape, x.order), table)
    return build.emit("MINIMUM", [above.tensor, build.constant(high)], build.new(x.shape, x.order), table)
