"""Products of matrices, and attention, which torch says with more operators than a graph."""

import math
from typing import Any

import torch

from tidegate.models.graph import Argument
from tidegate.models.importing.lowering.reader import Rule, Value
from tidegate.models.importing.lowering.writer import ADD, FAR_BELOW, MATMUL, MUL, PERMUTE, Writer, rule


def product(write: Writer, given: dict[str, Any]) -> Value:
    """A product of matrices; with a weight (inputs, outputs) on the right a linear layer."""
    first, second = given["self"], given.get("mat2", given.get("other"))
    weight = write.tensor(second)
    if weight is None or weight.ndim != 2:
        return write.add(MATMUL, write.read(first), write.read(second))
    return write.add("aten.linear.default", write.read(first), write.constant("weight", weight.t().contiguous()))


def added_product(write: Writer, given: dict[str, Any]) -> Value:
    """A product of matrices and a sum; with weights a linear layer."""
    first, second = given.get("mat1", given.get("batch1")), given.get("mat2", given.get("batch2"))
    weight, bias = write.tensor(second), write.tensor(given["self"])
    if given["alpha"] != 1 or given["beta"] != 1:
        raise write.reader.refusal(write.node, "a sum of products with factors of its own; allowed is 1")
    if weight is not None and weight.ndim == 2 and bias is not None and bias.ndim == 1:
        layer = write.constant("weight", weight.t().contiguous()), write.constant("bias", bias)
        return write.add("aten.linear.default", write.read(first), *layer)
    return write.add(ADD, write.add(MATMUL, write.read(first), write.read(second)), write.read(given["self"]))


def attention(write: Writer, given: dict[str, Any]) -> Value:
    """As it is; with a known mask, a scale of its own or fewer heads for keys by its parts."""
    query, key, value = (given[name] for name in ("query", "key", "value"))
    sources = [write.read(each) for each in (query, key, value)]
    mask, width = write.tensor(given["attn_mask"]), write.shape(query)[-1]
    by_input = given["attn_mask"] if mask is None else None
    scale = width**-0.5 if given["scale"] is None else float(given["scale"])
    causal = bool(given["is_causal"])
    if given["attn_mask"] is None and not causal and math.isclose(scale, width**-0.5) and not given["enable_gqa"]:
        return write.add("aten.scaled_dot_product_attention.default", *sources)
    if given["dropout_p"]:
        raise write.reader.refusal(write.node, "attention with dropout, which no answer has twice; leave it out")
    queries = write.shape(query)[-3] // write.shape(key)[-3] if given["enable_gqa"] else 1
    if queries > 1:
        sources[1:] = [
            _for_each_query(write, each, write.shape(of), queries)
            for each, of in zip(sources[1:], (key, value), strict=True)
        ]
    *outer, count, _ = write.shape(query)
    length = write.shape(key)[-2]
    turned = (*outer, write.shape(key)[-1], length)
    rank = len(turned) + 1
    across = write.add(PERMUTE, sources[1], (*range(rank - 2), rank - 1, rank - 2), shape=turned)
    scores = write.add(MATMUL, sources[0], across, shape=(*outer, count, length))
    scores = write.add(MUL, scores, scale, shape=(*outer, count, length))
    if causal:
        mask = torch.ones(count, length, dtype=torch.bool).tril()
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.where(mask, 0.0, FAR_BELOW)
        added = write.constant("mask", mask.float().clamp(min=FAR_BELOW))
        scores = write.add(ADD, scores, added, shape=(*outer, count, length))
    if by_input is not None:
        hidden, own = write.read(by_input), write.shape(by_input)
        if by_input.meta["val"].dtype == torch.bool:
            hidden = write.add(MUL, write.add(ADD, hidden, -1.0, shape=own), -FAR_BELOW, shape=own)
        scores = write.add(ADD, scores, hidden, shape=(*outer, count, length))
    shares = write.add("aten.softmax.int", scores, -1, shape=(*outer, count, length))
    return write.add(MATMUL, shares, sources[2])


def _for_each_query(write: Writer, x: Argument, shape: tuple[int, ...], shares: int) -> Argument:
    """Heads of keys or values, each as often as there are queries for it."""
    *outer, heads, length, width = shape
    one, more = (*outer, heads, 1, length, width), (*outer, heads, shares, length, width)
    x = write.add("aten.view.default", x, (-1, *one), shape=one)
    x = write.add(MUL, x, write.constant("ones", torch.ones(1, *more)), shape=more)
    return write.add(
        "aten.reshape.default",
        x,
        (-1, *outer, heads * shares, length, width),
        shape=(*outer, heads * shares, length, width),
    )


def summed_up(write: Writer, given: dict[str, Any]) -> Value:
    """Along an axis a product with a triangle of ones."""
    shape = write.reader.shape(write.node)
    axis = given["dim"] % (len(shape) + 1)
    if axis == 0:
        raise write.reader.refusal(write.node, "adds up over the samples; an answer must be of one sample alone")
    triangle = write.constant("triangle", torch.ones(shape[axis - 1], shape[axis - 1]).triu())
    x = write.read(given["self"])
    if axis == len(shape):
        return write.add(MATMUL, x, triangle)
    order = (*range(axis), *range(axis + 1, len(shape) + 1), axis)
    turned = tuple(shape[place - 1] for place in order[1:])
    x = write.add(MATMUL, write.add(PERMUTE, x, order, shape=turned), triangle, shape=turned)
    return write.add(PERMUTE, x, (*range(axis), len(shape), *range(axis, len(shape))))


RULES: dict[str, Rule] = {
    "aten.matmul.default": rule(product),
    "aten.mm.default": rule(product),
    "aten.bmm.default": rule(product),
    "aten.addmm.default": rule(added_product),
    "aten.baddbmm.default": rule(added_product),
    "aten.scaled_dot_product_attention.default": rule(attention),
    "aten.cumsum.default": rule(summed_up),
}
