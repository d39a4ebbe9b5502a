"""Linear layers, products and attention over the last two axes."""

import math
from collections.abc import Mapping

from torch import fx

from tidegate.models.graph import Weight
from tidegate.models.importing.lowering.layouts.layout import (
    Layout,
    layout_of,
    refused,
    settled,
    sizes_of,
    weight_beside,
)
from tidegate.models.importing.lowering.reader import Expanded, Laid, Reader, Rule, Value, call


def _linear(reader: Reader, node: fx.Node) -> Value:
    given = call(node)
    layout = layout_of(reader, node, given["input"])
    laid = layout.in_order()
    if 0 in laid.groups[-1]:
        return refused(reader, node)
    shape = (*laid.shape[:-1], sizes_of(node)[-1])
    args = (laid.ref, reader.argument(given["weight"]), reader.argument(given["bias"]))
    ref = layout.add("aten.linear.default", args if given["bias"] is not None else args[:2], shape)
    return settled(reader, node, Laid(ref, shape, laid.groups))


def _product(reader: Reader, node: fx.Node) -> Value:
    """Of two values whose leading axes are the same; by a weight (inputs, outputs) a linear layer."""
    given = call(node)
    first, second = given["self"], given["mat2"] if "mat2" in given else given["other"]
    layout = layout_of(reader, node, first)
    laid = layout.in_order()
    value = reader.values.get(second.name)
    if isinstance(value, Weight) and reader.tensors[value.weight].ndim == 2 and 0 not in laid.groups[-1]:
        weight = reader.constant(node, "weight", reader.tensors[value.weight].t().contiguous())
        shape = (*laid.shape[:-1], sizes_of(node)[-1])
        ref = layout.add("aten.linear.default", (laid.ref, weight), shape)
        return settled(reader, node, Laid(ref, shape, laid.groups))
    other = layout_of(reader, node, second, "_other").in_order()
    if laid.groups[:-2] != other.groups[:-2] or laid.shape[:-2] != other.shape[:-2]:
        return refused(reader, node)
    if any(0 in group for group in (*laid.groups[-2:], *other.groups[-2:])):
        return refused(reader, node)
    shape = (*laid.shape[:-1], other.shape[-1])
    ref = layout.add("aten.matmul.default", (laid.ref, other.ref), shape)
    return settled(reader, node, Laid(ref, shape, laid.groups))


def _added_product(reader: Reader, node: fx.Node) -> Value:
    """A linear layer written as a sum and a product; or a product of values and a weight that is added."""
    given = call(node)
    first, second = given["mat1"], given["mat2"]
    value, bias = reader.values.get(second.name), reader.values.get(given["self"].name)
    layout = layout_of(reader, node, first)
    laid = layout.in_order()
    plain = given["alpha"] == given["beta"] == 1 and 0 not in laid.groups[-1]
    if not (plain and isinstance(value, Weight) and isinstance(bias, Weight)):
        return refused(reader, node)
    if reader.tensors[bias.weight].ndim != 1:
        return refused(reader, node)
    weight = reader.constant(node, "weight", reader.tensors[value.weight].t().contiguous())
    shape = (*laid.shape[:-1], sizes_of(node)[-1])
    ref = layout.add("aten.linear.default", (laid.ref, weight, bias), shape)
    return settled(reader, node, Laid(ref, shape, laid.groups))


def _attention(reader: Reader, node: fx.Node) -> Value:
    """Over leading axes that are the same for all three; a known mask is added to the scores."""
    given = call(node)
    if any(given[name] for name in ("is_causal", "enable_gqa", "dropout_p")):
        return refused(reader, node)
    layouts = [layout_of(reader, node, given[name], f"_{name}") for name in ("query", "key", "value")]
    query, key, value = (layout.in_order() for layout in layouts)
    if len({(laid.groups[:-2], laid.shape[:-2]) for laid in (query, key, value)}) != 1:
        return refused(reader, node)
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
            return refused(reader, node)
        beside = Laid(scores, sizes, query.groups)
        scores = add(
            "aten.add.Tensor", (scores, weight_beside(reader, node, mask, beside, len(query.groups))), sizes
        )
    shares = add("aten.softmax.int", (scores, -1), sizes)
    ref = add("aten.matmul.default", (shares, value.ref), shape)
    return settled(reader, node, Laid(ref, shape, query.groups))


def _looked_up(reader: Reader, node: fx.Node) -> Value:
    """Rows of a table, an axis more."""
    given = call(node)
    table = reader.argument(given["weight"])
    if not isinstance(table, Weight):
        return refused(reader, node)
    layout = layout_of(reader, node, given["indices"])
    laid = layout.in_order()
    shape = (*laid.shape, sizes_of(node)[-1])
    ref = layout.add("aten.embedding.default", (table, laid.ref), shape)
    return settled(reader, node, Laid(ref, shape, (*laid.groups, (len(shape),))))


def _bag(reader: Reader, node: fx.Node) -> Value:
    """As many rows of a table for every sample, summed up or averaged."""
    given = call(node)
    table, source = reader.argument(given["weight"]), given["indices"]
    laid = layout_of(reader, node, source).laid
    if not isinstance(table, Weight) or laid.groups != ((0, 1),) or given["per_sample_weights"] is not None:
        raise reader.refusal(
            node, "a bag of other than as many numbers for every sample, without weights of their own"
        )
    (count,), width = laid.shape, reader.tensors[table.weight].shape[1]
    if given["mode"] not in {0, 1} or given["padding_idx"] not in {None, -1}:
        raise reader.refusal(
            node, "a bag with a padding index, or with the largest of its rows; allowed: mean and sum"
        )
    layout = Layout(reader, node, laid, "_bag")
    rows = layout.add("aten.embedding.default", (table, laid.ref), (count, width))
    mean = layout.add("aten.mean.dim", (rows, (1,), False), (width,))
    return layout.add("aten.mul.Tensor", (mean, float(count)), (width,)) if given["mode"] == 0 else mean


RULES: Mapping[str, Rule] = {
    "aten.embedding.default": _looked_up,
    **dict.fromkeys(("aten.embedding_bag.default", "aten.embedding_bag.padding_idx"), _bag),
    "aten.linear.default": _linear,
    "aten.matmul.default": _product,
    "aten.mm.default": _product,
    "aten.bmm.default": _product,
    "aten.addmm.default": _added_product,
    "aten.scaled_dot_product_attention.default": _attention,
}
