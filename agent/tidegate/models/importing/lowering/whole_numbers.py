"""Whole numbers and truth values that depend on the input: floats in a graph, truth as 0 and 1.

Below 2^24 float32 holds every whole number, so that sums and comparisons are exact. Numbers that are not whole are
not compared: next to equal they would become something between true and false.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from tidegate.models.graph import Argument, Ref
from tidegate.models.graph.operators import EMBEDDING
from tidegate.models.importing.lowering import masks, pointwise
from tidegate.models.importing.lowering.reader import Reader, Rule, Value, call
from tidegate.models.importing.lowering.writer import ADD, FAR_BELOW, MUL, SUB, Writer, rule

_CLIP = "aten.hardtanh.default"


def looked_up(write: Writer, given: dict[str, Any]) -> Value:
    """Rows of a table that is known."""
    table = write.tensor(given["weight"])
    if table is None or table.ndim != 2 or given["scale_grad_by_freq"]:
        raise write.reader.refusal(write.node, "looks numbers up in a table that depends on the input")
    places = write.tensor(given["indices"])
    if places is not None:
        return write.reader.made_of(write.node, table[places.long()])
    return write.add(EMBEDDING, write.read(given["weight"]), write.read(given["indices"]))


def _compared(relate: Callable[[Writer, Ref], Ref], *, turned: bool = False) -> Rule:
    """By the difference of two whole numbers; of the second from the first if `turned`."""

    def write_comparison(write: Writer, given: dict[str, Any]) -> Value:
        first, second = given["self"], given["other"]
        for side in (first, second):
            if not _is_whole(side):
                raise write.reader.refusal(
                    write.node,
                    "compares numbers that need not be whole; allowed are whole numbers and truth values: "
                    "leave thresholds to what reads the answer",
                )
        return relate(write, _difference(write, *((second, first) if turned else (first, second))))

    return rule(write_comparison)


def _difference(write: Writer, first: object, second: object) -> Ref:
    if isinstance(first, int | float):
        return write.add(ADD, write.add(MUL, _numbers(write, second), -1.0), float(first))
    if write.tensor(first) is not None:
        return write.add(ADD, write.add(MUL, _numbers(write, second), -1.0), _numbers(write, first))
    return write.add(SUB, _numbers(write, first), _numbers(write, second))


def _numbers(write: Writer, source: object) -> Argument:
    """An operand in float32."""
    known = write.tensor(source)
    if known is not None:
        return write.constant("numbers", known)
    return float(source) if isinstance(source, int | float) else write.read(source)


def _is_whole(source: object) -> bool:
    if isinstance(source, fx.Node):
        value = source.meta["val"]
        return not isinstance(value, Tensor) or not value.is_floating_point()
    return isinstance(source, int | float) and float(source).is_integer()


def _equal(write: Writer, difference: Ref) -> Ref:
    """1 - |difference|, not below 0."""
    size = write.add(MUL, write.add("aten.abs.default", difference), -1.0)
    return write.add("aten.relu.default", write.add(ADD, size, 1.0))


def _unequal(write: Writer, difference: Ref) -> Ref:
    return write.add(_CLIP, write.add("aten.abs.default", difference), 0.0, 1.0)


def _above(write: Writer, difference: Ref) -> Ref:
    return write.add(_CLIP, difference, 0.0, 1.0)


def _at_least(write: Writer, difference: Ref) -> Ref:
    return write.add(_CLIP, write.add(ADD, difference, 1.0), 0.0, 1.0)


def opposite(write: Writer, given: dict[str, Any]) -> Value:
    """1 - truth; of whole numbers whether they are 0."""
    source = given["self"]
    if not _is_whole(source):
        raise write.reader.refusal(write.node, "is true or not by numbers that need not be whole")
    if source.meta["val"].dtype != torch.bool:
        return _equal(write, write.add(MUL, write.read(source), 1.0))
    return write.add(ADD, write.add(MUL, write.read(source), -1.0), 1.0)


def _both(write: Writer, given: dict[str, Any]) -> Value:
    first, second = _truths(write, given)
    return write.add(MUL, first, second)


def _either(write: Writer, given: dict[str, Any]) -> Value:
    """a + b - a b"""
    first, second = _truths(write, given)
    together = write.add(MUL, write.add(MUL, first, second), -1.0)
    return write.add(ADD, write.add(ADD, first, second), together)


def _truths(write: Writer, given: dict[str, Any]) -> tuple[Argument, Argument]:
    """Both sides, a value in front of what is known."""
    sides = [given["self"], given["other"]]
    if any(not isinstance(each, fx.Node) or each.meta["val"].dtype != torch.bool for each in sides):
        raise write.reader.refusal(write.node, "works on the bits of whole numbers; allowed are truth values")
    if write.tensor(sides[0]) is not None:
        sides.reverse()
    return _numbers(write, sides[0]), _numbers(write, sides[1])


def where(write: Writer, given: dict[str, Any]) -> Value:
    """One of two by truth values: the sum of each times its truth."""
    condition = given["condition"]
    if write.tensor(condition) is not None:
        return masks.where(write, given)
    return _chosen(write, condition, given["self"], given["other"])


def masked(write: Writer, given: dict[str, Any]) -> Value:
    """Filled where the mask is true."""
    if write.tensor(given["mask"]) is not None:
        return masks.masked(write, given)
    return _chosen(write, given["mask"], given["value"], given["self"])


def _chosen(write: Writer, condition: fx.Node, first: object, second: object) -> Value:
    own = write.shape(condition)
    yes = write.read(condition)
    no = write.add(ADD, write.add(MUL, yes, -1.0, shape=own), 1.0, shape=own)
    parts = []
    for truth, source in ((yes, first), (no, second)):
        known = torch.tensor(float(source)) if isinstance(source, int | float) else write.tensor(source)
        if known is not None and not known.any():
            continue
        if known is None:
            assert isinstance(source, fx.Node)  # noqa: S101 - numbers and weights are known
            shape = tuple(np.broadcast_shapes(own, write.shape(source)))
            parts.append(write.add(MUL, truth, write.read(source), shape=shape))
            continue
        limited = known.float().clamp(FAR_BELOW, -FAR_BELOW) if known.isinf().any() else known.float()
        limited = limited.clamp(min=FAR_BELOW) if float(limited.min()) < _LEAST else limited
        value: Argument = float(limited) if limited.numel() == 1 else write.constant("filling", limited)
        sizes = () if limited.numel() == 1 else limited.shape[1:]
        parts.append(write.add(MUL, truth, value, shape=tuple(np.broadcast_shapes(own, sizes))))
    if not parts:
        return write.add(MUL, yes, 0.0)
    total = parts[0]
    for part in parts[1:]:
        total = write.add(ADD, total, part)
    return total


_LEAST = -1e30
"""Below it a number stands for minus infinity, as masks have the least of their type."""


def converted(reader: Reader, node: fx.Node) -> Value:
    """Another type: numbers as they are, but for those that would lose what is behind the point."""
    source = node.args[0]
    old = source.meta["val"].dtype if isinstance(source, fx.Node) else torch.float32
    new = node.meta["val"].dtype
    if old.is_floating_point and not new.is_floating_point:
        raise reader.refusal(
            node, f"becomes {new}, which drops what is behind the point; graphs compute in float32: leave it out"
        )
    if new == torch.bool and old != torch.bool:
        writer = Writer(reader, node)
        return _unequal(writer, writer.add(MUL, writer.read(call(node).get("self", source)), 1.0))
    return pointwise.same(reader, node)


RULES: dict[str, Rule] = {
    EMBEDDING: rule(looked_up),
    **{f"aten.eq.{kind}": _compared(_equal) for kind in ("Scalar", "Tensor")},
    **{f"aten.ne.{kind}": _compared(_unequal) for kind in ("Scalar", "Tensor")},
    **{f"aten.gt.{kind}": _compared(_above) for kind in ("Scalar", "Tensor")},
    **{f"aten.ge.{kind}": _compared(_at_least) for kind in ("Scalar", "Tensor")},
    **{f"aten.lt.{kind}": _compared(_above, turned=True) for kind in ("Scalar", "Tensor")},
    **{f"aten.le.{kind}": _compared(_at_least, turned=True) for kind in ("Scalar", "Tensor")},
    "aten.logical_not.default": rule(opposite),
    "aten.bitwise_not.default": rule(opposite),
    **dict.fromkeys(("aten.logical_and.default", "aten.bitwise_and.Tensor", "aten.__and__.Tensor"), rule(_both)),
    **dict.fromkeys(("aten.logical_or.default", "aten.bitwise_or.Tensor", "aten.__or__.Tensor"), rule(_either)),
    "aten.where.self": rule(where),
    "aten.where.ScalarOther": rule(where),
    "aten.where.ScalarSelf": rule(where),
    "aten.where.Scalar": rule(where),
    "aten.masked_fill.Scalar": rule(masked),
    "aten.masked_fill.Tensor": rule(masked),
    "aten.to.dtype": converted,
    "aten._to_copy.default": converted,
    "aten.to.dtype_layout": converted,
}
