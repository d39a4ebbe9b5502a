"""Parts of an axis, and values joined along one."""

from collections.abc import Mapping
from typing import Any

from torch import fx

from tidegate.models.importing.lowering.layouts.layout import (
    PRIME,
    aligned,
    axis_of,
    layout_of,
    refused,
    settled,
    size_of,
    sizes_of,
)
from tidegate.models.importing.lowering.reader import Laid, Reader, Rule, Value, call

SPLITS = frozenset({"aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default", "aten.unbind.int"})


def _select(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    return _taken(reader, node, given["self"], given["dim"], given["index"], 1, drop=True)


def _slice(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    laid = layout_of(reader, node, given["self"]).laid
    place = given["dim"] % len(laid.groups)
    size = sizes_of(given["self"])[place]
    if size % PRIME == 0:
        if given["start"] in {0, None} and (given["end"] is None or given["end"] >= 2**31):
            return laid
        return refused(reader, node)
    start, end, step = slice(given["start"], given["end"], given["step"]).indices(size)
    return _taken(reader, node, given["self"], place, start, end - start, step=step)


def part_of_split(reader: Reader, node: fx.Node) -> Value:
    source: Any = node.args[0]
    index: Any = node.args[1]
    given = call(source)
    if str(source.target) == "aten.unbind.int":
        return _taken(reader, node, given["self"], given["dim"], index, 1, drop=True)
    sizes = [size_of(part.shape[given["dim"]]) for part in source.meta["val"]]
    return _taken(reader, node, given["self"], given["dim"], sum(sizes[:index]), sizes[index])


def _taken(
    reader: Reader,
    node: fx.Node,
    source: fx.Node,
    dim: int,
    start: int,
    length: int,
    *,
    step: int = 1,
    drop: bool = False,
) -> Value:
    layout = layout_of(reader, node, source)
    if axis_of(layout.laid, dim) is None:
        layout.in_order()
    found = axis_of(layout.laid, dim)
    if found is None:
        return refused(reader, node)
    place, axis = found
    laid = layout.laid
    size = laid.shape[axis - 1]
    first = start % size
    count = len(range(first, first + length, step))
    shape = [*laid.shape]
    shape[axis - 1] = count
    ref = laid.ref
    if count != size:
        ref = layout.add("aten.slice.Tensor", (ref, axis, first, first + length, step), shape)
    groups = list(laid.groups)
    if drop:
        del shape[axis - 1]
        ref = layout.add("aten.reshape.default", (ref, (-1, *shape)), shape)
        del groups[place]
        groups = [tuple(each - (each > axis) for each in group) for group in groups]
    return settled(reader, node, Laid(ref, tuple(shape), tuple(groups)))


def _join(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    rank = len(sizes_of(node))
    parts = [aligned(reader, node, each, rank, index) for index, each in enumerate(given["tensors"])]
    found = axis_of(parts[0], given.get("dim", 0))
    if found is None or len({part.groups for part in parts}) != 1:
        return refused(reader, node)
    axis = found[1]
    shape = [*parts[0].shape]
    shape[axis - 1] = sum(part.shape[axis - 1] for part in parts)
    ref = reader.add(node, "aten.cat.default", (tuple(part.ref for part in parts), axis), tuple(shape), "_laid")
    return settled(reader, node, Laid(ref, tuple(shape), parts[0].groups))


def _stack(reader: Reader, node: fx.Node) -> Value:
    """Each with an axis more, and joined along it."""
    given = call(node)
    rank = len(sizes_of(node))
    place = given["dim"] % rank
    parts = []
    for index, each in enumerate(given["tensors"]):
        layout = layout_of(reader, node, each, f"_laid{index}")
        groups = layout.laid.groups
        layout.laid = Laid(layout.laid.ref, layout.laid.shape, (*groups[:place], (), *groups[place:]))
        parts.append(layout.in_order())
    found = axis_of(parts[0], place)
    if found is None or len({part.groups for part in parts}) != 1:
        return refused(reader, node)
    shape = [*parts[0].shape]
    shape[found[1] - 1] = len(parts)
    ref = reader.add(
        node, "aten.cat.default", (tuple(part.ref for part in parts), found[1]), tuple(shape), "_laid"
    )
    return settled(reader, node, Laid(ref, tuple(shape), parts[0].groups))


RULES: Mapping[str, Rule] = {
    "aten.select.int": _select,
    "aten.slice.Tensor": _slice,
    "aten.cat.default": _join,
    "aten.stack.default": _stack,
}
