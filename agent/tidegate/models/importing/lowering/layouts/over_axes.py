"""What is computed along an axis."""

from collections.abc import Mapping

from torch import fx

from tidegate.models.importing.lowering.layouts.layout import axis_of, layout_of, refused, settled
from tidegate.models.importing.lowering.reader import Laid, Reader, Rule, Value, call


def _softmax(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    layout = layout_of(reader, node, given["self"])
    laid = layout.in_order()
    found = axis_of(laid, given["dim"])
    if found is None:
        return refused(reader, node)
    ref = layout.add("aten.softmax.int", (laid.ref, found[1]), laid.shape)
    return settled(reader, node, Laid(ref, laid.shape, laid.groups))


def _layer_norm(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    layout = layout_of(reader, node, given["input"])
    laid = layout.in_order()
    sizes = tuple(given["normalized_shape"])
    if any(0 in group for group in laid.groups[-len(sizes) :]):
        return refused(reader, node)
    args = (laid.ref, sizes, reader.argument(given["weight"]), reader.argument(given["bias"]), float(given["eps"]))
    ref = layout.add("aten.layer_norm.default", args, laid.shape)
    return settled(reader, node, Laid(ref, laid.shape, laid.groups))


def _mean(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    layout = layout_of(reader, node, given["self"])
    laid = layout.in_order()
    found = [axis_of(laid, dim) for dim in given["dim"]]
    axes = [each[1] for each in found if each is not None]
    if len(axes) != len(found):
        return refused(reader, node)
    kept = tuple(1 if place + 1 in axes else size for place, size in enumerate(laid.shape))
    ref = layout.add("aten.mean.dim", (laid.ref, tuple(axes), True), kept)
    groups = list(laid.groups)
    if not given["keepdim"]:
        gone = {each[0] for each in found if each is not None}
        groups = [group for place, group in enumerate(groups) if place not in gone]
        shape = tuple(size for place, size in enumerate(kept) if place + 1 not in axes)
        ref = layout.add("aten.reshape.default", (ref, (-1, *shape)), shape)
        groups = [tuple(axis - sum(each < axis for each in axes) for axis in group) for group in groups]
        kept = shape
    return settled(reader, node, Laid(ref, kept, tuple(groups)))


RULES: Mapping[str, Rule] = {
    "aten.softmax.int": _softmax,
    "aten._softmax.default": _softmax,
    "aten.layer_norm.default": _layer_norm,
    "aten.mean.dim": _mean,
}
