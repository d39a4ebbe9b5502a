"""Parts of an axis, and values joined along one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import fx

from tidegate.models.graph import Argument
from tidegate.models.importing.lowering.layouts.layout import (
    PRIME,
    Layout,
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
        start, end = _place(given["start"], 0), _place(given["end"], size)
        if given["step"] != 1 or start % PRIME or end % PRIME:
            return refused(reader, node)
        return _of_several(reader, node, laid, place, start // PRIME, end // PRIME)
    start, end, step = slice(given["start"], given["end"], given["step"]).indices(size)
    return _taken(reader, node, given["self"], place, start, end - start, step=step)


def part_of_split(reader: Reader, node: fx.Node) -> Value:
    source: Any = node.args[0]
    index: Any = node.args[1]
    given = call(source)
    if str(source.target) == "aten.unbind.int":
        return _taken(reader, node, given["self"], given["dim"], index, 1, drop=True)
    sizes = [size_of(part.shape[given["dim"]]) for part in source.meta["val"]]
    if sizes[index] % PRIME == 0:
        laid, start = layout_of(reader, node, given["self"]).laid, sum(sizes[:index]) // PRIME
        place = given["dim"] % len(laid.groups)
        return _of_several(reader, node, laid, place, start, start + sizes[index] // PRIME)
    return _taken(reader, node, given["self"], given["dim"], sum(sizes[:index]), sizes[index])


def _place(given: object, otherwise: int) -> int:
    """Where a slice begins or ends, with the prime for the number of samples."""
    if given is None:
        return otherwise
    if isinstance(given, fx.Node):
        return size_of(given.meta["val"])
    place = int(given)  # type: ignore[call-overload]  # all else is a number
    return otherwise if place >= 2**31 else place


def _of_several(reader: Reader, node: fx.Node, laid: Laid, place: int, start: int, end: int) -> Value:
    """Of inputs that were joined behind one another, each of all samples: some of them."""
    group = laid.groups[place]
    if group == (0,):
        return settled(reader, node, laid) if (start, end) == (0, 1) else refused(reader, node)
    axis = group[0]
    if axis == 0:
        return refused(reader, node)
    if len(group) > 2:
        inner = math.prod(laid.shape[each - 1] for each in group[1:] if each)
        if start % inner or end % inner or 0 not in group[1:]:
            return refused(reader, node)
        start, end = start // inner, end // inner
    shape, groups = [*laid.shape], list(laid.groups)
    shape[axis - 1] = end - start
    layout = Layout(reader, node, laid, "_of")
    ref: Argument = laid.ref
    if shape[axis - 1] != laid.shape[axis - 1]:
        ref = layout.add("aten.slice.Tensor", (ref, axis, start, end), shape)
    if end - start == 1:
        del shape[axis - 1]
        ref = layout.add("aten.reshape.default", (ref, (-1, *shape)), shape)
        groups[place] = group[1:]
        groups = [tuple(each - (each > axis) for each in one) for one in groups]
    return settled(reader, node, Laid(ref, tuple(shape), tuple(groups)))


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
    place = given.get("dim", 0) % rank
    if all(part.groups[place] == (0,) for part in parts):
        return _behind_one_another(reader, node, parts, place)
    found = axis_of(parts[0], place)
    if found is None and len(parts[0].groups[place]) == 2 and parts[0].groups[place][1] == 0:
        found = place, parts[0].groups[place][0]
    if found is None or len({part.groups for part in parts}) != 1:
        return refused(reader, node)
    axis = found[1]
    shape = [*parts[0].shape]
    shape[axis - 1] = sum(part.shape[axis - 1] for part in parts)
    ref = reader.add(node, "aten.cat.default", (tuple(part.ref for part in parts), axis), tuple(shape), "_laid")
    return settled(reader, node, Laid(ref, tuple(shape), parts[0].groups))


def _behind_one_another(reader: Reader, node: fx.Node, parts: Sequence[Laid], place: int) -> Value:
    """All samples of one value, then all of the next: one axis more."""
    if len({(part.groups, part.shape) for part in parts}) != 1:
        return refused(reader, node)
    shape = parts[0].shape
    layout = Layout(reader, node, parts[0], "_one")
    each = tuple(layout.add("aten.reshape.default", (part.ref, (-1, 1, *shape)), (1, *shape)) for part in parts)
    joined = (len(parts), *shape)
    ref = reader.add(node, "aten.cat.default", (each, 1), joined, "_laid")
    groups = [tuple(axis + (axis > 0) for axis in group) for group in parts[0].groups]
    groups[place] = (1, 0)
    return settled(reader, node, Laid(ref, joined, tuple(groups)))


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
