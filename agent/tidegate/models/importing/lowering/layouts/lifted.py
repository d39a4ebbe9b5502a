"""Operators with rules of their own, on values laid out with samples in front: all they see is an axis more."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from tidegate.models.graph import Argument, Ref, Weight
from tidegate.models.importing.lowering import composed, elementary, products
from tidegate.models.importing.lowering.layouts.layout import (
    PRIME,
    aligned,
    axis_of,
    refused,
    settled,
    sizes_of,
    weight_beside,
)
from tidegate.models.importing.lowering.reader import Expanded, Laid, Reader, Rule, Value, call

_DIMS = ("dim", "dims")

_BY_AXES: Mapping[str, Rule] = {
    **composed.RULES,
    **elementary.RULES,
    "aten.cumsum.default": products.RULES["aten.cumsum.default"],
    "aten.amax.default": Reader.keep,
}
"""What works value by value, or along axes that it names."""


def is_known(operator: str) -> bool:
    """Whether an operator may be lifted."""
    return operator in _BY_AXES


def lifted(reader: Reader, node: fx.Node) -> Value:
    """By its own rule, with the axes that it names in their new places."""
    given = call(node)
    sources = [
        each for each in node.all_input_nodes if not isinstance(reader.values.get(each.name), Weight | Expanded)
    ]
    rank = max(len(sizes_of(each)) for each in node.all_input_nodes)
    laid = {each.name: aligned(reader, node, each, rank, index) for index, each in enumerate(sources)}
    first = next(iter(laid.values()))
    if any(each.groups != first.groups for each in laid.values()):
        return refused(reader, node)
    dims = _dims(given)
    found = [axis_of(first, dim) for dim in dims]
    axes = [each[1] for each in found if each is not None]
    if len(axes) != len(dims):
        return refused(reader, node)
    graph = fx.Graph()
    inputs: dict[str, fx.Node] = {}
    for each in node.all_input_nodes:
        if each.name in laid:
            inputs[each.name] = stand_in(reader, node, graph, laid[each.name].ref, laid[each.name].shape)
        else:
            weight = weight_beside(reader, node, each, first, rank)
            inputs[each.name] = graph.create_node("placeholder", f"{node.name}_beside{len(inputs)}")
            inputs[each.name].meta["val"] = reader.tensors[weight.weight]  # type: ignore[union-attr]  # is a Weight
            reader.values[inputs[each.name].name] = weight
    renamed = {
        name: _mapped(value, axes) if name in _DIMS and value is not None else value
        for name, value in given.items()
    }
    again = called(reader, node, graph, renamed, lambda each: inputs[each.name])
    value = _BY_AXES[str(node.target)](reader, again)
    shape, groups = reader.shape(again), first.groups
    if len(shape) < len(first.shape):
        gone = {each[0] for each in found if each is not None}
        groups = tuple(
            tuple(axis - sum(each < axis for each in axes) for axis in group)
            for place, group in enumerate(groups)
            if place not in gone
        )
    if not isinstance(value, Ref):
        return refused(reader, node)
    return settled(reader, node, Laid(value, shape, groups))


def _dims(given: Mapping[str, Any]) -> list[int]:
    value: Any = next((given[name] for name in _DIMS if given.get(name) is not None), [])
    return [value] if isinstance(value, int) else list(value)


def _mapped(value: Any, axes: Sequence[int]) -> Any:
    return axes[0] if isinstance(value, int) else list(axes)


def stand_in(reader: Reader, node: fx.Node, graph: fx.Graph, ref: Argument, shape: Sequence[int]) -> fx.Node:
    """An input of a node in another layout: that value, of this shape per sample."""
    made = graph.create_node("placeholder", f"{node.name}_in{len(graph.nodes)}")
    with _fake_mode(node):
        made.meta["val"] = torch.empty((reader.samples, *shape))
    reader.values[made.name] = ref
    return made


def called(
    reader: Reader, node: fx.Node, graph: fx.Graph, arguments: Mapping[str, Any], of: Callable[[fx.Node], fx.Node]
) -> fx.Node:
    """The node again with other arguments, by their names in torch's schema."""
    target: Any = node.target
    positional, by_name = [], {}
    for argument in target._schema.arguments:  # noqa: SLF001 - there is no public way
        value = fx.map_arg(arguments[argument.name], of)
        if argument.kwarg_only:
            by_name[argument.name] = value
        else:
            positional.append(value)
    again = graph.create_node("call_function", target, tuple(positional), by_name, name=node.name)
    again.meta = dict(node.meta)
    # For a number that stands for the samples: asked with the symbol itself torch may fix it for the whole graph.
    args, kwargs = fx.map_arg((again.args, dict(again.kwargs)), _without_values)
    found = target(*args, **kwargs)
    several = isinstance(found, tuple | list)
    with _fake_mode(node):
        values = [
            torch.empty((reader.samples, *each.shape[1:]), dtype=each.dtype)
            for each in (found if several else [found])
        ]
    again.meta["val"] = tuple(values) if several else values[0]
    return again


def _without_values(node: fx.Node) -> Tensor:
    value: Tensor = node.meta["val"]
    sizes: tuple[int | torch.SymInt, ...] = tuple(value.shape)
    if not sizes or isinstance(sizes[0], int):
        return value.to("meta")
    return torch.empty((PRIME, *value.shape[1:]), dtype=value.dtype, device="meta")


def _fake_mode(node: fx.Node) -> Any:
    value = node.meta["val"]
    return (value[0] if isinstance(value, tuple | list) else value).fake_mode
