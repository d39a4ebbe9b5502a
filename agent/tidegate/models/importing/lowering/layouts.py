"""Values whose samples are not alone in front: windows of images, heads of attention, time before samples.

A graph keeps samples along the first axis of every value. An exported value may have them elsewhere, (time,
samples, channels), or with others in one axis, (samples * windows, places, channels). Such a value is kept with
samples in front, together with which of its axes each exported axis is made of.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from tidegate.models.graph import Argument, Ref, Weight
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.importing.lowering.reader import Expanded, Laid, Reader, Value, call

_PRIME = 1_000_003
"""Stands for the number of samples in sizes: no size of a network's own is a multiple of it."""

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
_SPLITS = frozenset(
    {"aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default", "aten.unbind.int"}
)


def rule_for(node: fx.Node, reader: Reader) -> Callable[[Reader, fx.Node], Value] | None:
    """How to read a node with samples elsewhere than in front, or that puts them there; None for any other."""
    sources = [reader.values.get(each.name) for each in node.all_input_nodes]
    if str(node.target) == "<built-in function getitem>":
        parent: Any = node.args[0]
        sources = [reader.values.get(each.name) for each in parent.all_input_nodes]
        return _part if any(isinstance(each, Laid) for each in sources) and str(parent.target) in _SPLITS else None
    if str(node.target) in _SPLITS:
        return None
    if not any(isinstance(each, Laid) for each in sources) and is_plain(node):
        return None
    return _RULES.get(str(node.target)) or (_pointwise if _is_elementwise(node) else _refused)


def is_plain(node: fx.Node) -> bool:
    """Whether its samples are alone in front, or it is no tensor."""
    value = node.meta.get("val")
    value = value[0] if isinstance(value, tuple | list) and value else value
    if not isinstance(value, torch.Tensor) or not value.ndim:
        return True
    sizes = [size_of(size) for size in value.shape]
    return sizes[0] == _PRIME and all(size % _PRIME for size in sizes[1:])


def size_of(size: int | torch.SymInt) -> int:
    """A size with a prime in place of the number of samples."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, _PRIME)))


def _is_elementwise(node: fx.Node) -> bool:
    return str(node.target) in OPERATORS and OPERATORS[str(node.target)].is_elementwise


def _refused(reader: Reader, node: fx.Node) -> Value:
    raise reader.refusal(
        node,
        f"{node.target} works on a value whose samples are not alone along the first axis, "
        f"{tuple(map(str, getattr(node.meta['val'], 'shape', ())))}; keep them there",
    )


class _Layout:
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
            counts = size % _PRIME == 0
            need = size // _PRIME if counts else size
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
        told = tuple("samples" if size == _PRIME else size for size in sizes)
        return self._reader.refusal(self._node, f"a view as {told} cuts across the samples; keep them in one axis")


def settled(reader: Reader, node: fx.Node, laid: Laid) -> Value:
    """The value as it is, or as a plain one where its samples are alone in front."""
    if laid.groups[0] != (0,) or any(0 in group for group in laid.groups[1:]):
        return laid
    return _Layout(reader, node, laid, "_plain").in_order().ref


def _laid(reader: Reader, source: fx.Node) -> Laid:
    """Any value as one with groups: of a plain one each axis is a group."""
    value = reader.values.get(source.name)
    if isinstance(value, Laid):
        return value
    shape = reader.shape(source)
    return Laid(reader.argument(source), shape, tuple((axis,) for axis in range(len(shape) + 1)))


def _of(reader: Reader, node: fx.Node, source: object, suffix: str = "_laid") -> _Layout:
    if not isinstance(source, fx.Node):
        raise reader.refusal(node, "of a constant")
    return _Layout(reader, node, _laid(reader, source), suffix)


def _sizes(node: fx.Node) -> list[int]:
    return [size_of(size) for size in node.meta["val"].shape]


def _view(reader: Reader, node: fx.Node) -> Value:
    return settled(reader, node, _of(reader, node, node.args[0]).viewed(_sizes(node)))


def _permute(reader: Reader, node: fx.Node) -> Value:
    laid = _of(reader, node, node.args[0]).laid
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


def _pointwise(reader: Reader, node: fx.Node) -> Value:
    """Value by value: all in one layout; weights are laid out as the values that they meet."""
    rank = len(_sizes(node))
    layouts = {
        each.name: _aligned(reader, node, each, rank, index)
        for index, each in enumerate(node.all_input_nodes)
        if not isinstance(reader.values.get(each.name), Weight | Expanded)
    }
    first = max(layouts.values(), key=lambda laid: math.prod(laid.shape))
    if any(len(laid.shape) != len(first.shape) or laid.groups != first.groups for laid in layouts.values()):
        raise reader.refusal(node, "meets a value whose samples lie elsewhere")

    def argument(each: object) -> Argument:
        if not isinstance(each, fx.Node):
            return reader.argument(each)
        if each.name in layouts:
            return layouts[each.name].ref
        return _weight(reader, node, each, first, rank)

    shape = np.broadcast_shapes(*(laid.shape for laid in layouts.values()))
    args = tuple(argument(each) for each in node.args)
    kwargs = {key: argument(each) for key, each in node.kwargs.items()}
    ref = reader.add(node, str(node.target), args, tuple(shape), "_laid", kwargs)
    return settled(reader, node, Laid(ref, tuple(shape), first.groups))


def _aligned(reader: Reader, node: fx.Node, source: fx.Node, rank: int, index: int) -> Laid:
    layout = _of(reader, node, source, f"_laid{index}")
    missing = rank - len(layout.laid.groups)
    layout.laid = Laid(layout.laid.ref, layout.laid.shape, ((),) * missing + layout.laid.groups)
    return layout.in_order()


def _weight(reader: Reader, node: fx.Node, source: fx.Node, beside: Laid, rank: int) -> Argument:
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
        shape += inner if size != 1 else [1] * len(inner)
    # For minus infinity, as in `composed`: sums with it stay finite.
    numbers = torch.where(tensor, 0.0, -1e4) if tensor.dtype == torch.bool else tensor.float().clamp(min=-1e4)
    return reader.constant(node, "laid", numbers.reshape(shape))


def _axis(laid: Laid, dim: int) -> tuple[int, int] | None:
    """The exported axis, and the one that it is; None where it holds samples, or several."""
    place = dim % len(laid.groups)
    group = laid.groups[place]
    return (place, group[0]) if len(group) == 1 and group[0] else None


def _select(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    return _taken(reader, node, given["self"], given["dim"], given["index"], 1, drop=True)


def _slice(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    laid = _of(reader, node, given["self"]).laid
    place = given["dim"] % len(laid.groups)
    size = _sizes_of(given["self"])[place]
    if size % _PRIME == 0:
        if given["start"] in {0, None} and (given["end"] is None or given["end"] >= 2**31):
            return laid
        return _refused(reader, node)
    start, end, step = slice(given["start"], given["end"], given["step"]).indices(size)
    return _taken(reader, node, given["self"], place, start, end - start, step=step)


def _part(reader: Reader, node: fx.Node) -> Value:
    source: Any = node.args[0]
    index: Any = node.args[1]
    given = call(source)
    if str(source.target) == "aten.unbind.int":
        return _taken(reader, node, given["self"], given["dim"], index, 1, drop=True)
    sizes = [size_of(part.shape[given["dim"]]) for part in source.meta["val"]]
    return _taken(reader, node, given["self"], given["dim"], sum(sizes[:index]), sizes[index])


def _sizes_of(source: fx.Node) -> list[int]:
    return [size_of(size) for size in source.meta["val"].shape]


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
    layout = _of(reader, node, source)
    if _axis(layout.laid, dim) is None:
        layout.in_order()
    found = _axis(layout.laid, dim)
    if found is None:
        return _refused(reader, node)
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


def _linear(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    layout = _of(reader, node, given["input"])
    laid = layout.in_order()
    if 0 in laid.groups[-1]:
        return _refused(reader, node)
    shape = (*laid.shape[:-1], _sizes(node)[-1])
    args = (laid.ref, reader.argument(given["weight"]), reader.argument(given["bias"]))
    ref = layout.add("aten.linear.default", args if given["bias"] is not None else args[:2], shape)
    return settled(reader, node, Laid(ref, shape, laid.groups))


def _product(reader: Reader, node: fx.Node) -> Value:
    """Of two values whose leading axes are the same; by a weight (inputs, outputs) a linear layer."""
    given = call(node)
    first, second = given["self"], given["mat2"] if "mat2" in given else given["other"]
    layout = _of(reader, node, first)
    laid = layout.in_order()
    value = reader.values.get(second.name)
    if isinstance(value, Weight) and reader.tensors[value.weight].ndim == 2 and 0 not in laid.groups[-1]:
        weight = reader.constant(node, "weight", reader.tensors[value.weight].t().contiguous())
        shape = (*laid.shape[:-1], _sizes(node)[-1])
        ref = layout.add("aten.linear.default", (laid.ref, weight), shape)
        return settled(reader, node, Laid(ref, shape, laid.groups))
    other = _of(reader, node, second, "_other").in_order()
    if laid.groups[:-2] != other.groups[:-2] or laid.shape[:-2] != other.shape[:-2]:
        return _refused(reader, node)
    if any(0 in group for group in (*laid.groups[-2:], *other.groups[-2:])):
        return _refused(reader, node)
    shape = (*laid.shape[:-1], other.shape[-1])
    ref = layout.add("aten.matmul.default", (laid.ref, other.ref), shape)
    return settled(reader, node, Laid(ref, shape, laid.groups))


def _added_product(reader: Reader, node: fx.Node) -> Value:
    """A linear layer written as a sum and a product; or a product of values and a weight that is added."""
    given = call(node)
    first, second = given["mat1"], given["mat2"]
    value, bias = reader.values.get(second.name), reader.values.get(given["self"].name)
    layout = _of(reader, node, first)
    laid = layout.in_order()
    plain = given["alpha"] == given["beta"] == 1 and 0 not in laid.groups[-1]
    if not (plain and isinstance(value, Weight) and isinstance(bias, Weight)):
        return _refused(reader, node)
    if reader.tensors[bias.weight].ndim != 1:
        return _refused(reader, node)
    weight = reader.constant(node, "weight", reader.tensors[value.weight].t().contiguous())
    shape = (*laid.shape[:-1], _sizes(node)[-1])
    ref = layout.add("aten.linear.default", (laid.ref, weight, bias), shape)
    return settled(reader, node, Laid(ref, shape, laid.groups))


def _attention(reader: Reader, node: fx.Node) -> Value:
    """Over leading axes that are the same for all three; a known mask is added to the scores."""
    given = call(node)
    if any(given[name] for name in ("is_causal", "enable_gqa", "dropout_p")):
        return _refused(reader, node)
    layouts = [_of(reader, node, given[name], f"_{name}") for name in ("query", "key", "value")]
    query, key, value = (layout.in_order() for layout in layouts)
    if len({(laid.groups[:-2], laid.shape[:-2]) for laid in (query, key, value)}) != 1:
        return _refused(reader, node)
    shape = (*query.shape[:-1], value.shape[-1])
    scale = query.shape[-1] ** -0.5 if given["scale"] is None else float(given["scale"])
    add = layouts[0].add
    if given["attn_mask"] is None and math.isclose(scale, query.shape[-1] ** -0.5):
        ref = add("aten.scaled_dot_product_attention.default", (query.ref, key.ref, value.ref), shape)
        return settled(reader, node, Laid(ref, shape, query.groups))
    rank = len(key.shape) + 1
    turned = (*key.shape[:-2], key.shape[-1], key.shape[-2])
    across = add("aten.permute.default", (key.ref, (*range(rank - 2), rank - 1, rank - 2)), turned)
    sizes = (*query.shape[:-1], key.shape[-2])
    scores = add("aten.matmul.default", (query.ref, across), sizes)
    scores = add("aten.mul.Tensor", (scores, scale), sizes)
    mask = given["attn_mask"]
    if mask is not None:
        if not isinstance(reader.values.get(mask.name), Weight | Expanded):
            return _refused(reader, node)
        beside = Laid(scores, sizes, query.groups)
        scores = add("aten.add.Tensor", (scores, _weight(reader, node, mask, beside, len(query.groups))), sizes)
    shares = add("aten.softmax.int", (scores, -1), sizes)
    ref = add("aten.matmul.default", (shares, value.ref), shape)
    return settled(reader, node, Laid(ref, shape, query.groups))


def _flip(reader: Reader, node: fx.Node) -> Value:
    """Along one axis: its places from the last to the first."""
    given = call(node)
    layout = _of(reader, node, given["self"])
    laid = layout.in_order()
    found = _axis(laid, given["dims"][0])
    if found is None or len(given["dims"]) != 1:
        return _refused(reader, node)
    axis = found[1]
    one = [*laid.shape]
    size, one[axis - 1] = one[axis - 1], 1
    parts = tuple(
        layout.add("aten.slice.Tensor", (laid.ref, axis, place, place + 1), one) for place in reversed(range(size))
    )
    ref = layout.add("aten.cat.default", (parts, axis), laid.shape)
    return settled(reader, node, Laid(ref, laid.shape, laid.groups))


def _softmax(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    layout = _of(reader, node, given["self"])
    laid = layout.in_order()
    found = _axis(laid, given["dim"])
    if found is None:
        return _refused(reader, node)
    ref = layout.add("aten.softmax.int", (laid.ref, found[1]), laid.shape)
    return settled(reader, node, Laid(ref, laid.shape, laid.groups))


def _layer_norm(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    layout = _of(reader, node, given["input"])
    laid = layout.in_order()
    sizes = tuple(given["normalized_shape"])
    if any(0 in group for group in laid.groups[-len(sizes) :]):
        return _refused(reader, node)
    args = (laid.ref, sizes, reader.argument(given["weight"]), reader.argument(given["bias"]), float(given["eps"]))
    ref = layout.add("aten.layer_norm.default", args, laid.shape)
    return settled(reader, node, Laid(ref, laid.shape, laid.groups))


def _mean(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    layout = _of(reader, node, given["self"])
    laid = layout.in_order()
    found = [_axis(laid, dim) for dim in given["dim"]]
    axes = [each[1] for each in found if each is not None]
    if len(axes) != len(found):
        return _refused(reader, node)
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


def _join(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    rank = len(_sizes(node))
    parts = [_aligned(reader, node, each, rank, index) for index, each in enumerate(given["tensors"])]
    found = _axis(parts[0], given.get("dim", 0))
    if found is None or len({part.groups for part in parts}) != 1:
        return _refused(reader, node)
    axis = found[1]
    shape = [*parts[0].shape]
    shape[axis - 1] = sum(part.shape[axis - 1] for part in parts)
    ref = reader.add(node, "aten.cat.default", (tuple(part.ref for part in parts), axis), tuple(shape), "_laid")
    return settled(reader, node, Laid(ref, tuple(shape), parts[0].groups))


def _stack(reader: Reader, node: fx.Node) -> Value:
    """Each with an axis more, and joined along it."""
    given = call(node)
    rank = len(_sizes(node))
    place = given["dim"] % rank
    parts = []
    for index, each in enumerate(given["tensors"]):
        layout = _of(reader, node, each, f"_laid{index}")
        groups = layout.laid.groups
        layout.laid = Laid(layout.laid.ref, layout.laid.shape, (*groups[:place], (), *groups[place:]))
        parts.append(layout.in_order())
    found = _axis(parts[0], place)
    if found is None or len({part.groups for part in parts}) != 1:
        return _refused(reader, node)
    shape = [*parts[0].shape]
    shape[found[1] - 1] = len(parts)
    ref = reader.add(
        node, "aten.cat.default", (tuple(part.ref for part in parts), found[1]), tuple(shape), "_laid"
    )
    return settled(reader, node, Laid(ref, tuple(shape), parts[0].groups))


def _expand(reader: Reader, node: fx.Node) -> Value:
    """What stays as it is."""
    source: Any = node.args[0]
    if _sizes_of(source) != _sizes(node):
        return _refused(reader, node)
    return _laid(reader, source)


_RULES: dict[str, Callable[[Reader, fx.Node], Value]] = {
    **dict.fromkeys(_VIEWS, _view),
    **dict.fromkeys(_SAME, _same),
    "aten.permute.default": _permute,
    "aten.transpose.int": _permute,
    "aten.t.default": _permute,
    "aten.select.int": _select,
    "aten.slice.Tensor": _slice,
    "aten.linear.default": _linear,
    "aten.matmul.default": _product,
    "aten.mm.default": _product,
    "aten.bmm.default": _product,
    "aten.addmm.default": _added_product,
    "aten.scaled_dot_product_attention.default": _attention,
    "aten.flip.default": _flip,
    "aten.softmax.int": _softmax,
    "aten._softmax.default": _softmax,
    "aten.layer_norm.default": _layer_norm,
    "aten.mean.dim": _mean,
    "aten.cat.default": _join,
    "aten.stack.default": _stack,
    "aten.expand.default": _expand,
}
