"""One value laid out with its samples in front, and known by which of its axes each exported axis is made of.

A graph keeps samples along the first axis of every value. An exported value may have them elsewhere, (time,
samples, channels), or with others in one axis, (samples * windows, places, channels).
"""

import math
from collections.abc import Sequence

import torch
from torch import fx

from tidegate.models.graph import Argument, Ref, Weight
from tidegate.models.importing.lowering.reader import Expanded, Laid, Reader, Value

PRIME = 1_000_003
"""Stands for the number of samples in sizes: no size of a network's own is a multiple of it."""


def is_plain(node: fx.Node) -> bool:
    """Whether its samples are alone in front, or it is no tensor."""
    value = node.meta.get("val")
    value = value[0] if isinstance(value, tuple | list) and value else value
    if not isinstance(value, torch.Tensor) or not value.ndim:
        return True
    sizes = [size_of(size) for size in value.shape]
    return sizes[0] == PRIME and all(size % PRIME for size in sizes[1:])


def size_of(size: int | torch.SymInt) -> int:
    """A size with a prime in place of the number of samples."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, PRIME)))


def sizes_of(node: fx.Node) -> list[int]:
    return [size_of(size) for size in node.meta["val"].shape]


def refused(reader: Reader, node: fx.Node) -> Value:
    raise reader.refusal(
        node,
        f"{node.target} works on a value whose samples are not alone along the first axis, "
        f"{tuple(map(str, getattr(node.meta['val'], 'shape', ())))}; keep them there",
    )


class Layout:
    """One value while it is laid out; each step that moves something is a node of the graph."""

    def __init__(self, reader: Reader, node: fx.Node, laid: Laid, suffix: str) -> None:
        self._reader, self._node, self._suffix, self._steps = reader, node, suffix, 0
        self.laid = laid

    def add(self, operator: str, args: Sequence[Argument], shape: Sequence[int], **kwargs: Argument) -> Ref:
        self._steps += 1
        name = f"{self._suffix}_{self._steps}"
        return self._reader.add(self._node, operator, tuple(args), tuple(shape), name, kwargs)

    def in_order(self) -> Laid:
        """With its axes in the order of the exported ones, an axis for each, samples in front."""
        laid = self.laid
        order = [axis for group in laid.groups for axis in group if axis]
        if order != sorted(order):
            shape = tuple(laid.shape[axis - 1] for axis in order)
            ref = self.add("aten.permute.default", (laid.ref, (0, *order)), shape)
            places = {axis: place for place, axis in enumerate(order, start=1)} | {0: 0}
            groups = tuple(tuple(places[axis] for axis in group) for group in laid.groups)
            laid = Laid(ref, shape, groups)
        # An axis for each of the exported ones that has no samples in it, also for those of size 1.
        shapes: list[int] = []
        grouped: list[tuple[int, ...]] = []
        for group in laid.groups:
            if 0 in group:
                kept = tuple(len(shapes) + 1 + place for place in range(len(group) - 1))
                shapes += [laid.shape[axis - 1] for axis in group if axis]
                before = group.index(0)
                grouped.append((*kept[:before], 0, *kept[before:]))
            else:
                shapes.append(math.prod(laid.shape[axis - 1] for axis in group))
                grouped.append((len(shapes),))
        flat = laid.ref
        if tuple(shapes) != laid.shape:
            flat = self.add("aten.reshape.default", (flat, (-1, *shapes)), shapes)
        self.laid = Laid(flat, tuple(shapes), tuple(grouped))
        return self.laid

    def viewed(self, sizes: Sequence[int]) -> Laid:
        """Under other sizes, the prime for the number of samples. Raises ExportError where those cut across it."""
        laid = self.in_order()
        atoms = [(axis, laid.shape[axis - 1] if axis else 0) for group in laid.groups for axis in group]
        shape: list[int] = []
        groups = []
        for size in sizes:
            counts = size % PRIME == 0
            need = size // PRIME if counts else size
            group: list[int] = []
            while need > 1 or counts:
                if not atoms:
                    raise self._cut(sizes)
                axis, length = atoms.pop(0)
                if axis == 0:
                    if not counts:
                        raise self._cut(sizes)
                    counts = False
                    group.append(0)
                    continue
                if length == 1:
                    continue
                taken = math.gcd(need, length)
                if taken == 1:
                    raise self._cut(sizes)
                if taken < length:
                    atoms.insert(0, (axis, length // taken))
                need //= taken
                if group and group[-1] and group[-1] == len(shape):
                    shape[-1] *= taken
                else:
                    shape.append(taken)
                    group.append(len(shape))
            groups.append(tuple(group))
        ref = laid.ref
        if tuple(shape) != laid.shape:
            ref = self.add("aten.reshape.default", (ref, (-1, *shape)), shape)
        self.laid = Laid(ref, tuple(shape), tuple(groups))
        return self.laid

    def _cut(self, sizes: Sequence[int]) -> Exception:
        told = tuple("samples" if size == PRIME else size for size in sizes)
        return self._reader.refusal(self._node, f"a view as {told} cuts across the samples; keep them in one axis")


def settled(reader: Reader, node: fx.Node, laid: Laid) -> Value:
    """The value as it is, or as a plain one where its samples are alone in front."""
    if laid.groups[0] != (0,) or any(0 in group for group in laid.groups[1:]):
        return laid
    return Layout(reader, node, laid, "_plain").in_order().ref


def laid_of(reader: Reader, source: fx.Node) -> Laid:
    """Any value as one with groups: of a plain one each axis is a group."""
    value = reader.values.get(source.name)
    if isinstance(value, Laid):
        return value
    if isinstance(value, Expanded) and sizes_of(source)[0] % PRIME == 0:
        tensor = reader.tensors[value.weight.weight]
        own = tuple(tensor.shape)
        if own[0] > 1 or sizes_of(source)[0] != PRIME:
            return Laid(
                reader.made_of(source, tensor[None], own),
                own,
                ((0, 1), *((axis,) for axis in range(2, len(own) + 1))),
            )
    shape = reader.shape(source)
    return Laid(reader.argument(source), shape, tuple((axis,) for axis in range(len(shape) + 1)))


def layout_of(reader: Reader, node: fx.Node, source: object, suffix: str = "_laid") -> Layout:
    if not isinstance(source, fx.Node):
        raise reader.refusal(node, "of a constant")
    return Layout(reader, node, laid_of(reader, source), suffix)


def aligned(reader: Reader, node: fx.Node, source: fx.Node, rank: int, index: int) -> Laid:
    layout = layout_of(reader, node, source, f"_laid{index}")
    missing = rank - len(layout.laid.groups)
    layout.laid = Laid(layout.laid.ref, layout.laid.shape, ((),) * missing + layout.laid.groups)
    return layout.in_order()


def weight_beside(reader: Reader, node: fx.Node, source: fx.Node, beside: Laid, rank: int) -> Argument:
    value = reader.values[source.name]
    name = (
        value.weight.weight if isinstance(value, Expanded) else value.weight if isinstance(value, Weight) else ""
    )
    tensor = reader.tensors[name]
    sizes = [1] * (rank - tensor.ndim) + list(tensor.shape)
    shape: list[int] = [1]
    for size, group in zip(sizes, beside.groups, strict=True):
        inner = [beside.shape[axis - 1] for axis in group if axis]
        if size != 1 and (0 in group and size != math.prod(inner)):
            raise reader.refusal(node, "meets a weight that is different for different samples")
        if size != 1 and 0 not in group and math.prod(inner) == 1:
            inner = [size, *inner[1:]]  # the value is repeated along it
        shape += inner if size != 1 else [1] * len(inner)
    # For minus infinity, as in `composed`: sums with it stay finite.
    numbers = torch.where(tensor, 0.0, -1e4) if tensor.dtype == torch.bool else tensor.float().clamp(min=-1e4)
    return reader.constant(node, "laid", numbers.reshape(shape))


def axis_of(laid: Laid, dim: int) -> tuple[int, int] | None:
    """The exported axis, and the one that it is; None where it holds samples, or several."""
    place = dim % len(laid.groups)
    group = laid.groups[place]
    return (place, group[0]) if len(group) == 1 and group[0] else None
