"""Views, permutations, and what keeps every value where it is."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from tidegate.models.importing.lowering.layouts.layout import (
    axis_of,
    laid_of,
    layout_of,
    refused,
    settled,
    sizes_of,
)
from tidegate.models.importing.lowering.reader import Laid, Reader, Rule, Value, call

_VIEWS = frozenset(
    f"aten.{name}"
    for name in (
        *("view.default", "_unsafe_view.default", "reshape.default", "flatten.using_ints", "unflatten.int"),
        *("unsqueeze.default", "squeeze.dim", "squeeze.dims", "squeeze.default"),
    )
)
_SAME = frozenset(
    f"aten.{name}"
    for name in ("clone.default", "contiguous.default", "alias.default", "detach.default", "dropout.default")
)


def _view(reader: Reader, node: fx.Node) -> Value:
    return settled(reader, node, layout_of(reader, node, node.args[0]).viewed(sizes_of(node)))


def _permute(reader: Reader, node: fx.Node) -> Value:
    laid = layout_of(reader, node, node.args[0]).laid
    given = call(node)
    if "dims" in given:
        order = [axis % len(laid.groups) for axis in given["dims"]]
    else:
        order = list(range(len(laid.groups)))
        first, second = (given.get(name, default) % len(order) for name, default in (("dim0", 0), ("dim1", 1)))
        order[first], order[second] = order[second], order[first]
    return settled(reader, node, Laid(laid.ref, laid.shape, tuple(laid.groups[axis] for axis in order)))


def _same(reader: Reader, node: fx.Node) -> Value:
    source: Any = node.args[0]
    return reader.values[source.name]


def _flip(reader: Reader, node: fx.Node) -> Value:
    """Along one axis: its places from the last to the first."""
    given = call(node)
    layout = layout_of(reader, node, given["self"])
    laid = layout.in_order()
    found = axis_of(laid, given["dims"][0])
    if found is None or len(given["dims"]) != 1:
        return refused(reader, node)
    axis = found[1]
    one = [*laid.shape]
    size, one[axis - 1] = one[axis - 1], 1
    parts = tuple(
        layout.add("aten.slice.Tensor", (laid.ref, axis, place, place + 1), one) for place in reversed(range(size))
    )
    ref = layout.add("aten.cat.default", (parts, axis), laid.shape)
    return settled(reader, node, Laid(ref, laid.shape, laid.groups))


def _expand(reader: Reader, node: fx.Node) -> Value:
    """Along axes of size 1, times ones."""
    source: Any = node.args[0]
    sizes, wanted = sizes_of(source), sizes_of(node)
    if sizes == wanted:
        return laid_of(reader, source)
    layout = layout_of(reader, node, source)
    missing = len(wanted) - len(sizes)
    layout.laid = Laid(layout.laid.ref, layout.laid.shape, ((),) * missing + layout.laid.groups)
    laid = layout.in_order()
    shape = [*laid.shape]
    for old, new, group in zip([1] * missing + sizes, wanted, laid.groups, strict=True):
        if old != new:
            if 0 in group:
                return refused(reader, node)
            shape[group[0] - 1] = new
    ones = reader.constant(node, "ones", torch.ones(1, *shape))
    ref = layout.add("aten.mul.Tensor", (laid.ref, ones), shape)
    return settled(reader, node, Laid(ref, tuple(shape), laid.groups))


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_VIEWS, _view),
    **dict.fromkeys(_SAME, _same),
    "aten.permute.default": _permute,
    "aten.transpose.int": _permute,
    "aten.t.default": _permute,
    "aten.flip.default": _flip,
    "aten.expand.default": _expand,
}
