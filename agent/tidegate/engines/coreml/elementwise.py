"""Operators that work value by value, as MIL operators."""

from collections.abc import Callable

from tidegate.engines.coreml.graph_builder import Convert, GraphBuilder
from tidegate.engines.coreml.runtime import Var, mb
from tidegate.engines.plan.arguments import Unconvertible, filled, number
from tidegate.models.graph import Argument, Node, Ref


def unary(emit: Callable[..., Var]) -> Convert:
    """An operator of one value."""
    return lambda build, node: emit(x=build.read(node.args[0]), name=build.named(node.name))


def binary(emit: Callable[..., Var]) -> Convert:
    """Two values, or a value and a weight or number."""

    def convert(build: GraphBuilder, node: Node) -> Var:
        first, second = (_operand(build, each) for each in node.args[:2])
        scale = number(node.kwargs.get("alpha", 1))
        if scale != 1:
            second = mb.mul(x=second, y=build.number(scale), name=build.named("alpha"))
        return emit(x=first, y=second, name=build.named(node.name))

    return convert


def _operand(build: GraphBuilder, argument: Argument) -> object:
    if isinstance(argument, Ref):
        return build.read(argument)
    if isinstance(argument, bool | int | float):
        return build.number(float(argument))
    return build.weight(argument)


def reciprocal(build: GraphBuilder, node: Node) -> Var:
    # MIL's inverse adds something to what it divides by.
    return mb.real_div(x=build.number(1.0), y=build.read(node.args[0]), name=build.named(node.name))


def hardtanh(build: GraphBuilder, node: Node) -> Var:
    low, high = (build.number(number(each)) for each in filled(node.args[1:], (-1.0, 1.0)))
    return mb.clip(x=build.read(node.args[0]), alpha=low, beta=high, name=build.named(node.name))


def hard_sigmoid(build: GraphBuilder, node: Node) -> Var:
    return _hard_sigmoid(build, build.read(node.args[0]))


def hard_swish(build: GraphBuilder, node: Node) -> Var:
    x = build.read(node.args[0])
    return mb.mul(x=x, y=_hard_sigmoid(build, x), name=build.named(node.name))


def _hard_sigmoid(build: GraphBuilder, x: Var) -> Var:
    return mb.sigmoid_hard(x=x, alpha=build.number(1 / 6), beta=build.number(0.5), name=build.named("share"))


def leaky_relu(build: GraphBuilder, node: Node) -> Var:
    (slope,) = filled(node.args[1:], (0.01,))
    x = build.read(node.args[0])
    return mb.leaky_relu(x=x, alpha=build.number(number(slope)), name=build.named(node.name))


def elu(build: GraphBuilder, node: Node) -> Var:
    alpha, scale, input_scale = (number(each) for each in filled(node.args[1:], (1, 1, 1)))
    if scale != 1 or input_scale != 1:
        raise Unconvertible("a scale of its own")
    return mb.elu(x=build.read(node.args[0]), alpha=build.number(alpha), name=build.named(node.name))


def gelu(build: GraphBuilder, node: Node) -> Var:
    by_tanh = str(node.kwargs.get("approximate", "none")) == "tanh"
    mode = "TANH_APPROXIMATION" if by_tanh else "EXACT"
    return mb.gelu(x=build.read(node.args[0]), mode=mode, name=build.named(node.name))


def mish(build: GraphBuilder, node: Node) -> Var:
    x = build.read(node.args[0])
    share = mb.tanh(x=mb.softplus(x=x, name=build.named("softplus")), name=build.named("tanh"))
    return mb.mul(x=x, y=share, name=build.named(node.name))
