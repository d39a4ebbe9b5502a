"""`gather`: where its places are known, or what it takes from is."""

import math
from typing import Any

import torch
from torch import Tensor, fx

from tidegate.models.graph import Argument, Ref
from tidegate.models.graph.operators import EMBEDDING
from tidegate.models.importing.lowering.layouts.layout import Layout, layout_of, refused, settled
from tidegate.models.importing.lowering.reader import Laid, Reader, Rule, Value, call
from tidegate.models.importing.lowering.writer import ADD, MATMUL, MUL, Writer, rule

MOST = 2**22
"""Numbers of a table that says which places are taken: 16 MiB."""

_RESHAPE = "aten.reshape.default"


def gathered(write: Writer, given: dict[str, Any]) -> Value:
    source, index = given["self"], given["index"]
    shape, known, places = write.reader.shape(write.node), write.tensor(source), write.tensor(index)
    axis = given["dim"] % (len(shape) + 1)
    if axis == 0:
        raise write.reader.refusal(write.node, "takes some of the samples; a graph answers each by itself")
    if known is not None:
        return _of_known(write, known, index, shape)
    if places is None:
        raise write.reader.refusal(
            write.node,
            "takes from places that depend on the input; what chooses by value belongs behind the model: return "
            "what it chooses from",
        )
    if axis != len(shape):
        raise write.reader.refusal(write.node, "gathers along another axis than the last")
    x, own = write.read(source), write.shape(source)

    def add(operator: str, args: tuple[Argument, ...], sizes: tuple[int, ...]) -> Ref:
        return write.add(operator, *args, shape=sizes)

    return _picked(write.reader, write.node, add, x, own, places.broadcast_to(1, *shape))


def _of_known(write: Writer, known: Tensor, index: fx.Node, shape: tuple[int, ...]) -> Value:
    """Rows of a table by number; one number where the table holds no other."""
    if known.numel() and bool((known == known.reshape(-1)[0]).all()):
        return write.add(ADD, write.add(MUL, write.read(index), 0.0), float(known.reshape(-1)[0]))
    rows = known[:1] if known.ndim == len(shape) + 1 else known
    if len(shape) != 1 or rows.numel() != known.shape[-1]:
        raise write.reader.refusal(write.node, "takes from a table of several rows; allowed is one row")
    table = write.constant("table", rows.reshape(-1, 1))
    found = write.add(EMBEDDING, table, write.read(index), shape=(*shape, 1))
    return write.add("aten.view.default", found, (-1, *shape))


def _picked(reader: Reader, node: fx.Node, add: Any, x: Argument, own: tuple[int, ...], places: Tensor) -> Ref:
    """Along the last axis by products with ones and zeros, an own matrix wherever places differ."""
    index = places[0].long()
    for axis in range(index.ndim - 1):
        if index.shape[axis] > 1 and bool((index == index.narrow(axis, 0, 1)).all()):
            index = index.narrow(axis, 0, 1)
    if index.numel() * own[-1] > MOST:
        raise reader.refusal(
            node,
            f"picks by {index.numel()} places from rows of {own[-1]}, a table of more than {MOST} numbers; "
            "shorter inputs are taken",
        )
    picks = torch.nn.functional.one_hot(index, own[-1]).transpose(-1, -2).float()
    lines = (*own[:-1], 1, own[-1])
    x = add(_RESHAPE, (x, (-1, *lines)), lines)
    shape = (*own[:-1], 1, index.shape[-1])
    weight = reader.constant(node, "picks", picks[None])
    found = add(MATMUL, (x, weight), shape)
    result: Ref = add(_RESHAPE, (found, (-1, *own[:-1], index.shape[-1])), (*own[:-1], index.shape[-1]))
    return result


def _laid(reader: Reader, node: fx.Node) -> Value:
    """The same where samples are not alone in front, along an axis that is alone."""
    given = call(node)
    places = Writer(reader, node).tensor(given["index"])
    layout = layout_of(reader, node, given["self"])
    laid = layout.in_order()
    rank = len(laid.groups)
    if places is None or given["dim"] % rank != rank - 1 or any(0 in group for group in laid.groups[1:]):
        return refused(reader, node)
    outer = laid.shape[: len(laid.groups[0]) - 1]
    first = places.shape[0]
    if first not in {1, math.prod(outer)}:
        return refused(reader, node)
    lead = outer if first > 1 else (1,) * len(outer)
    index = places.reshape(1, *lead, *places.shape[1:])
    shape = (*laid.shape[:-1], places.shape[-1])
    if index.shape[1 + len(outer) : -1] != laid.shape[len(outer) : -1]:
        return refused(reader, node)
    ref = _picked(reader, node, Layout(reader, node, laid, "_picked").add, laid.ref, laid.shape, index)
    return settled(reader, node, Laid(ref, shape, laid.groups))


RULES: dict[str, Rule] = {"aten.gather.default": rule(gathered)}
LAID: dict[str, Rule] = {"aten.gather.default": _laid}
