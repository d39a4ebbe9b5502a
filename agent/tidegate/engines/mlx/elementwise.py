"""Operators that work value by value."""

import math
from collections.abc import Callable

from tidegate.engines.mlx.graph_builder import Compute, Convert, GraphBuilder, Value, sized
from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.mlx.stored_weight import Form
from tidegate.engines.plan.arguments import Unconvertible, filled, number
from tidegate.engines.plan.axis_order import plain
from tidegate.models.graph import Argument, Node, Ref


def unary(compute: Callable[[Tensor], Tensor]) -> Convert:
    """A function of one value."""

    def emit(build: GraphBuilder, node: Node) -> Value:
        x = build.read(node.args[0])
        return build.emit(compute, [x], x.shape, x.order)

    return emit


def binary(compute: Callable[[Tensor, Tensor], Tensor]) -> Convert:
    """Two values, or a value and a weight or number, in the order in which the larger value lies."""

    def emit(build: GraphBuilder, node: Node) -> Value:
        first, second = node.args[:2]
        scale = number(node.kwargs.get("alpha", 1))
        shape = sized(node)
        values = [build.read(each) for each in (first, second) if isinstance(each, Ref)]
        if not values:
            raise Unconvertible("of constants alone")
        same_rank = all(value.rank == len(shape) for value in values)
        order = max(values, key=lambda value: math.prod(value.shape)).order if same_rank else plain(len(shape))

        def scaled(x: Tensor, y: Tensor) -> Tensor:
            return compute(x, y if scale == 1 else y * scale)

        def operand(argument: Argument) -> Value | int:
            if isinstance(argument, Ref):
                value = build.read(argument)
                if value.rank < len(shape):
                    raise Unconvertible("values of different ranks")
                return build.laid_out(value, order)
            return build.weight(argument, Form(len(shape), order))

        if isinstance(second, bool | int | float):
            fixed = float(second)
            return build.emit(lambda x: scaled(x, fixed), [operand(first)], shape, order)
        if isinstance(first, bool | int | float):
            given = float(first)
            return build.emit(lambda y: scaled(given, y), [operand(second)], shape, order)
        return build.emit(scaled, [operand(first), operand(second)], shape, order)

    return emit


def _with_numbers(defaults: tuple[float, ...], compute: Compute) -> Convert:
    """A function of one value and some numbers behind it."""

    def emit(build: GraphBuilder, node: Node) -> Value:
        x = build.read(node.args[0])
        numbers = [number(each) for each in filled(node.args[1:], defaults)]
        return build.emit(lambda value: compute(value, *numbers), [x], x.shape, x.order)

    return emit


def gelu(build: GraphBuilder, node: Node) -> Value:
    by_tanh = str(node.kwargs.get("approximate", "none")) == "tanh"
    return unary(_gelu_by_tanh if by_tanh else _gelu)(build, node)


def _gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + mx.erf(x * 0.5**0.5))


def _gelu_by_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + mx.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x * x * x)))


def _elu(x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    return mx.where(x > 0, scale * x, scale * alpha * (mx.exp(mx.minimum(x, 0) * input_scale) - 1))


def relu(x: Tensor) -> Tensor:
    return mx.maximum(x, 0)


def hard_sigmoid(x: Tensor) -> Tensor:
    return mx.clip(x + 3, 0, 6) / 6


def hard_swish(x: Tensor) -> Tensor:
    return x * mx.clip(x + 3, 0, 6) / 6


def silu(x: Tensor) -> Tensor:
    return x * mx.sigmoid(x)


def mish(x: Tensor) -> Tensor:
    return x * mx.tanh(mx.logaddexp(x, 0))


hardtanh = _with_numbers((-1.0, 1.0), mx.clip)
leaky_relu = _with_numbers((0.01,), lambda x, slope: mx.where(x > 0, x, slope * x))
elu = _with_numbers((1.0, 1.0, 1.0), _elu)
