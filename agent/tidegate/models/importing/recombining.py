"""Layers and functions that an exporter took apart, put together again: engines have one kernel for the whole.

A bias that is added behind its layer costs a layer in 8 bits a pass over floats and a rounding of its own; so does
each step of an activation function.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tidegate.models.graph import Argument, Node, Ref, Segment, Weight, layer_of
from tidegate.models.graph.fusion import only_readers
from tidegate.models.graph.operator import Kind
from tidegate.models.graph.operators import CONV2D, LINEAR, OPERATORS
from tidegate.models.network import WeightArray

ADD, MUL, MAXIMUM = "aten.add.Tensor", "aten.mul.Tensor", "aten.maximum.default"
MAX_POOL2D = "aten.max_pool2d.default"

LONGEST = 12
"""Steps of a function: the tanh formula of GELU has ten."""

_POINTS = torch.cat([torch.linspace(-12, 12, 4801), torch.tensor([-1e3, -50.0, 50.0, 1e3])])
"""Where a function is held against those that have kernels."""

_TOLERANCE = 2e-6
"""Of a value, or of 1 where it is smaller: another order of the same steps rounds differently."""

_FUNCTIONS: Mapping[str, tuple[Callable[[Tensor], Tensor], Mapping[str, Argument]]] = {
    "aten.hardswish.default": (torch.nn.functional.hardswish, {}),
    "aten.gelu.default": (lambda x: torch.nn.functional.gelu(x, approximate="tanh"), {"approximate": "tanh"}),
}
"""Operators of one value, each with how it is written as data."""


def recombined(segment: Segment, weights: Mapping[str, WeightArray]) -> tuple[Segment, Mapping[str, WeightArray]]:
    """The graph, biases inside layers, functions of one value by name, PReLUs behind pools; and its weights."""
    segment, weights = _with_biases_inside(segment, weights)
    segment = _with_slopes_behind_pools(_with_functions_by_name(segment), weights)
    return segment, {name: weights[name] for name in segment.weights}


@dataclass(frozen=True, slots=True)
class _Bias:
    """A sum with a weight that is one number per output channel of the layer before it."""

    layer: Node
    total: Node
    values: WeightArray


def _with_biases_inside(
    segment: Segment, weights: Mapping[str, WeightArray]
) -> tuple[Segment, Mapping[str, WeightArray]]:
    weights = dict(weights)
    for bias in list(_biases(segment, weights)):
        name = f"{layer_of(next(bias.layer.weights()).weight)}.bias"
        while name in weights:
            name += "_added"
        weights[name] = bias.values
        now = {node.name: node for node in segment.nodes}
        args = now[bias.layer.name].args
        now[bias.layer.name] = replace(bias.layer, args=(*args[:2], Weight(name), *args[3:]))
        _, total_in = _parts(now.pop(bias.total.name))
        nodes = tuple(_reading(node, bias.total.name, total_in) for node in now.values())
        segment = replace(segment, nodes=nodes)
    return segment, weights


def _biases(segment: Segment, weights: Mapping[str, WeightArray]) -> Iterator[_Bias]:
    readers = only_readers(segment)
    uses = [weight.weight for node in segment.nodes for weight in node.weights()]
    for layer in segment.nodes:
        if layer.operator not in {CONV2D, LINEAR} or (len(layer.args) > 2 and layer.args[2] is not None):
            continue
        # A layer that is used twice may have another bias, or none, elsewhere.
        if layer.kwargs or uses.count(next(layer.weights()).weight) > 1:
            continue
        channels = weights[next(layer.weights()).weight].shape[0]
        axis = 0 if layer.operator == CONV2D else len(layer.shape) - 1
        last, total = layer, readers.get(layer.name)
        while total is not None and _only_drops_ones(last, total, axis):
            last, total = total, readers.get(total.name)
        if total is None or total.operator != ADD or total.kwargs or total.shape != last.shape:
            continue
        added, _ = _parts(total)
        place = axis if last is layer else 0
        if added is not None and _is_per_channel(weights[added].shape, total.shape, place, channels):
            values = np.broadcast_to(weights[added].reshape(-1), (channels,)).copy()
            yield _Bias(layer, total, values)


def _only_drops_ones(before: Node, after: Node, axis: int) -> bool:
    """Whether it changes nothing of a value but how many sizes of 1 there are, channels coming first."""
    return (
        OPERATORS[after.operator].kind is Kind.VIEW
        and axis == 0
        and after.shape[:1] == before.shape[:1]
        and [size for size in after.shape[1:] if size > 1] == [size for size in before.shape[1:] if size > 1]
    )


def _parts(total: Node) -> tuple[str | None, Argument]:
    """Of a sum: the weight that is added, None where there isn't one, and the other operand."""
    first, second = total.args[:2]
    if isinstance(second, Weight) and isinstance(first, Ref):
        return second.weight, first
    if isinstance(first, Weight) and isinstance(second, Ref):
        return first.weight, second
    return None, first


def _is_per_channel(weight: tuple[int, ...], value: tuple[int, ...], axis: int, channels: int) -> bool:
    """Whether a weight is broadcast over all axes of a value (without samples) but this one."""
    if len(weight) > len(value) + 1 or math.prod(weight) not in {1, channels}:
        return False
    aligned = (1,) * (len(value) + 1 - len(weight)) + weight
    return math.prod(weight) == aligned[1 + axis]


def _reading(node: Node, gone: str, instead: Argument) -> Node:
    """The node with another value in the place of one that is gone."""

    def replaced(argument: Argument) -> Argument:
        if isinstance(argument, tuple):
            return tuple(map(replaced, argument))
        return instead if argument == Ref(gone) else argument

    kwargs = {key: replaced(value) for key, value in node.kwargs.items()}
    return replace(node, args=tuple(map(replaced, node.args)), kwargs=kwargs)


def _with_functions_by_name(segment: Segment) -> Segment:
    place = {node.name: index for index, node in enumerate(segment.nodes)}
    readers: dict[str, set[str]] = {}
    for node in segment.nodes:
        for name in node.operands:
            readers.setdefault(name, set()).add(node.name)
    gone: set[str] = set()
    named: dict[str, Node] = {}
    for last in reversed(segment.nodes):
        if last.name in gone:
            continue
        for source, steps in reversed(list(_cones(segment, place, last))):
            inside = {node.name for node in steps}
            alone = all(readers.get(node.name, set()) <= inside for node in steps[:-1])
            found = _named(source, steps) if alone else None
            if found is not None:
                named[last.name] = found
                gone |= inside - {last.name}
                break
    if not named:
        return segment
    kept = tuple(named.get(node.name, node) for node in segment.nodes if node.name not in gone)
    return replace(segment, nodes=kept)


def _cones(segment: Segment, place: Mapping[str, int], last: Node) -> Iterator[tuple[str, tuple[Node, ...]]]:
    """Steps in order that make a value of one other value alone, element by element: from few steps to many."""
    waiting = {last.name}
    steps: list[Node] = []
    while waiting and len(steps) < LONGEST:
        name = max(waiting, key=lambda each: place.get(each, -1))
        if name not in place:
            return
        node = segment.nodes[place[name]]
        if not OPERATORS[node.operator].is_elementwise or node.layer is not None or node.shape != last.shape:
            return
        waiting = (waiting - {name}) | set(node.operands)
        steps.insert(0, node)
        if len(waiting) == 1 and len(steps) > 1:
            yield next(iter(waiting)), tuple(steps)


def _named(source: str, steps: tuple[Node, ...]) -> Node | None:
    """The operator that gives the same."""
    values: dict[str, Any] = {source: _POINTS}

    def of(argument: Argument) -> Any:
        return values[argument.ref] if isinstance(argument, Ref) else argument

    for node in steps:
        if any(isinstance(argument, tuple) for argument in node.leaves):
            return None
        function = _aten(node.operator)
        values[node.name] = function(*map(of, node.args), **{key: of(each) for key, each in node.kwargs.items()})
    given = values[steps[-1].name]
    for operator, (function, kwargs) in _FUNCTIONS.items():
        wanted = function(_POINTS)
        if bool(((given - wanted).abs() <= _TOLERANCE * wanted.abs().clamp(min=1)).all()):
            return Node(steps[-1].name, operator, (Ref(source),), steps[-1].shape, kwargs)
    return None


def _aten(operator: str) -> Callable[..., Tensor]:
    _, name, overload = operator.split(".")
    function: Callable[..., Tensor] = getattr(getattr(torch.ops.aten, name), overload)
    return function


def _with_slopes_behind_pools(segment: Segment, weights: Mapping[str, WeightArray]) -> Segment:
    """A largest value of max(x, slope * x), which is a PReLU, as that of the largest x: the same, of fewer values.

    So where no slope is negative, for the function falls nowhere then.
    """
    nodes = {node.name: node for node in segment.nodes}
    readers = only_readers(segment)
    reads = [name for node in segment.nodes for name in node.operands]
    for pool in segment.nodes:
        larger = nodes.get(pool.operands[0]) if pool.operator == MAX_POOL2D else None
        if larger is None or larger.operator != MAXIMUM or readers.get(larger.name) is None:
            continue
        first, second = larger.args[:2]
        sloped = nodes.get(second.ref) if isinstance(first, Ref) and isinstance(second, Ref) else None
        if sloped is None or sloped.operator != MUL or reads.count(sloped.name) > 1 or sloped.args[0] != first:
            continue
        slope = sloped.args[1]
        channels = sloped.shape[0]
        if not isinstance(slope, Weight) or (weights[slope.weight] < 0).any():
            continue
        if not _is_per_channel(weights[slope.weight].shape, sloped.shape, 0, channels):
            continue
        # Each of the three in the place of the one before it, under its name: readers of the last find it there.
        kept, scaled = Ref(sloped.name), Ref(larger.name)
        nodes[sloped.name] = Node(sloped.name, pool.operator, (first, *pool.args[1:]), pool.shape, pool.kwargs)
        nodes[larger.name] = Node(larger.name, MUL, (kept, slope), pool.shape)
        nodes[pool.name] = Node(pool.name, MAXIMUM, (kept, scaled), pool.shape)
    return replace(segment, nodes=tuple(nodes.values()))
