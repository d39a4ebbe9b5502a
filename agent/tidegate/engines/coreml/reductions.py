"""Means, normalizations and softmax, as MIL operators."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tidegate.engines.coreml.graph_builder import Convert, GraphBuilder
from tidegate.engines.coreml.runtime import Var, mb
from tidegate.engines.plan.arguments import filled, number, whole_numbers
from tidegate.models.graph import Argument, Node


def reduced(emit: Callable[..., Var]) -> Convert:
    """A mean, or what else `emit` makes, over axes of the graph."""

    def convert(build: GraphBuilder, node: Node) -> Var:
        argument, axes, keep = filled(node.args, (None, None, False))
        x = build.read(argument)
        return emit(x=x, axes=whole_numbers(axes), keep_dims=bool(keep), name=build.named(node.name))

    return convert


def softmax(build: GraphBuilder, node: Node) -> Var:
    (axis,) = whole_numbers(node.args[1])
    return mb.softmax(x=build.read(node.args[0]), axis=axis, name=build.named(node.name))


def layer_norm(build: GraphBuilder, node: Node) -> Var:
    argument, shape, weight, bias, epsilon = filled(node.args[:5], (None, (), None, None, 1e-5))
    x = build.read(argument)
    axes = list(range(len(x.shape) - len(whole_numbers(shape)), len(x.shape)))
    return _scaled(build, _even(build, x, axes, number(epsilon)), weight, bias, None)


def group_norm(build: GraphBuilder, node: Node) -> Var:
    argument, groups, weight, bias, epsilon = filled(node.args[:5], (None, 1, None, None, 1e-5))
    (count,) = whole_numbers(groups)
    x = build.read(argument)
    flat = [1, count, math.prod(x.shape) // count]
    rows = mb.reshape(x=x, shape=flat, name=build.named("groups"))
    even = mb.reshape(x=_even(build, rows, [2], number(epsilon)), shape=list(x.shape), name=build.named("even"))
    return _scaled(build, even, weight, bias, [-1, *[1] * (len(x.shape) - 2)])


def _even(build: GraphBuilder, x: Var, axes: Sequence[int], epsilon: float) -> Var:
    return mb.layer_norm(x=x, axes=list(axes), epsilon=build.number(epsilon), name=build.named("even"))


def _scaled(build: GraphBuilder, x: Var, weight: Argument, bias: Argument, shape: list[int] | None) -> Var:
    """Times a weight and plus a bias, each under another shape where one is given."""
    for kind, argument, emit in (("scale", weight, mb.mul), ("shift", bias, mb.add)):
        if argument is not None:
            held = build.weight(argument)
            if shape is not None:
                held = build.constant(np.reshape(held.val, shape), f"{held.op.weight_id}/{kind}/{shape}")
            x = emit(x=x, y=held, name=build.named(kind))
    return x
