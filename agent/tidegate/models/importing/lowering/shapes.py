"""Slices, views, joins and permutations of values."""

import operator

import torch
from torch import fx

from tidegate.models.graph import Argument, Ref
from tidegate.models.importing.lowering.reader import Expanded, Reader, Rule, Value, call

_SLICE = "aten.slice.Tensor"
_UNBIND = "aten.unbind.int"
_SPLITS = frozenset({"aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default"})
_WHOLE = 2**62
"""Where a slice ends that has no end."""

_TURNS = frozenset({"aten.clone.default", "aten.contiguous.default", "aten.transpose.int", "aten.permute.default"})


def view(reader: Reader, node: fx.Node) -> Value:
    """A view, or a reshape where it is not sure that a view can be had."""
    source: fx.Node = call(node)["self"]
    # Whether one can be had depends on how attention laid out its result, which differs by machine.
    name = "aten.reshape.default" if str(source.target) in _TURNS else "aten.view.default"
    args = tuple(reader.argument(argument) for argument in node.args)
    return reader.add(node, name, args, reader.shape(node))


def plain_view(reader: Reader, node: fx.Node) -> Value:
    """Axes of size 1 that come or go."""
    source: fx.Node = call(node)["self"]
    return reader.view(node, reader.argument(source), reader.shape(node))


def getitem(reader: Reader, node: fx.Node) -> Value:
    """One of the parts that another node gives."""
    source, index = node.args
    if not isinstance(source, fx.Node) or not isinstance(index, int):
        raise reader.refusal(node, "picks from a constant")
    kind = str(source.target)
    if kind == _UNBIND:
        return _selected(reader, node, call(source)["self"], call(source)["dim"], index)
    if kind in _SPLITS:
        given = call(source)
        sizes = [int(part.shape[given["dim"]]) for part in source.meta["val"]]
        return _sliced(reader, node, given["self"], given["dim"], sum(sizes[:index]), sizes[index])
    if index != 0:
        if "max_pool" in kind:
            raise reader.refusal(
                node,
                "reads where the largest values were; unpool by interpolation or a transposed convolution instead",
            )
        raise reader.refusal(node, f"takes result {index} of {kind}, of which a graph has the first alone")
    return reader.values[source.name]


def parts(_reader: Reader, _node: fx.Node) -> Value:
    """Several results: each is made where it is picked."""
    return ()


def select(reader: Reader, node: fx.Node) -> Value:
    """One place along an axis, which goes."""
    given = call(node)
    return _selected(reader, node, given["self"], given["dim"], given["index"])


def take_slice(reader: Reader, node: fx.Node) -> Value:
    """A slice along an axis; a slice that takes all samples is the value itself."""
    given = call(node)
    source, axis, start, end, step = (given[name] for name in ("self", "dim", "start", "end", "step"))
    value = reader.values[source.name]
    if axis == 0:
        if start not in {0, None} or (end is not None and end < _WHOLE) or step != 1:
            raise reader.refusal(node, "takes some of the samples; a graph answers each by itself")
        return value
    shape = reader.shape(source)
    place = axis % (len(shape) + 1)
    first, last, stride = slice(start, end, step).indices(shape[place - 1])
    args: tuple[Argument, ...] = (reader.argument(source), place, first, last, stride)
    return reader.add(node, _SLICE, args, reader.shape(node))


def join(reader: Reader, node: fx.Node) -> Value:
    """Values one after the other. Weights among them are added where zeros were put in their place."""
    given = call(node)
    members: list[fx.Node] = [each for each in given["tensors"] if each.meta["val"].numel() != 0]
    if len(members) == 1:  # a cache of what came before, which holds nothing yet
        return reader.values[members[0].name]
    values = [member for member in members if not isinstance(reader.values.get(member.name), Expanded)]
    shape = reader.shape(node)
    axis = given["dim"] % (len(shape) + 1)
    if len(values) == len(members):
        if len(members) == len(given["tensors"]):
            return reader.keep(node)
        return reader.add(node, "aten.cat.default", (reader.argument(members), axis), shape)
    if len(values) != 1:
        return _join_several(reader, node, members, axis)
    (value,) = values
    before = sum(int(member.meta["val"].shape[axis]) for member in members[: members.index(value)])
    behind = shape[axis - 1] - before - reader.shape(value)[axis - 1]
    pads = (*[0] * (2 * (len(shape) - axis)), before, behind)
    padded = reader.add(
        node, "aten.constant_pad_nd.default", (reader.argument(value), pads, 0.0), shape, "_padded"
    )
    joined = torch.cat([_expanded_tensor(reader, member) for member in members], axis)
    return reader.add(node, "aten.add.Tensor", (padded, reader.constant(node, "joined", joined[0])), shape)


def _join_several(reader: Reader, node: fx.Node, members: list[fx.Node], axis: int) -> Value:
    """Weights among several values as values."""
    parts = tuple(reader.argument(member) for member in members)
    return reader.add(node, "aten.cat.default", (parts, axis), reader.shape(node))


def _expanded_tensor(reader: Reader, member: fx.Node) -> torch.Tensor:
    """What a member of a join is for every sample: a weight's values, and zeros for what differs by sample."""
    value = reader.values[member.name]
    shape = (1, *reader.shape(member))
    return reader.tensors[value.weight.weight].expand(shape) if isinstance(value, Expanded) else torch.zeros(shape)


def _selected(reader: Reader, node: fx.Node, source: fx.Node, axis: int, index: int) -> Value:
    """One place along an axis: a slice, and a view without the axis."""
    part = _sliced(reader, node, source, axis, index, 1, "_part")
    return reader.view(node, part, reader.shape(node))


def _sliced(
    reader: Reader, node: fx.Node, source: fx.Node, axis: int, start: int, length: int, suffix: str = ""
) -> Ref:
    sizes = list(reader.shape(source))
    place = axis % (len(sizes) + 1)
    if place == 0:
        raise reader.refusal(node, "takes some of the samples; a graph answers each by itself")
    first = start % sizes[place - 1]
    sizes[place - 1] = length
    args: tuple[Argument, ...] = (reader.argument(source), place, first, first + length)
    return reader.add(node, _SLICE, args, tuple(sizes), suffix)


RULES: dict[str, Rule] = {
    "aten.view.default": view,
    "aten._unsafe_view.default": view,
    "aten.unsqueeze.default": plain_view,
    "aten.squeeze.dim": plain_view,
    "aten.squeeze.dims": plain_view,
    "aten.squeeze.default": plain_view,
    "aten.unflatten.int": plain_view,
    str(operator.getitem): getitem,
    _UNBIND: parts,
    **dict.fromkeys(_SPLITS, parts),
    "aten.select.int": select,
    _SLICE: take_slice,
    "aten.cat.default": join,
}
