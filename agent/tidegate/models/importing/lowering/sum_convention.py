"""`einsum` of two operands as one product of matrices: axes brought in order, multiplied, and brought back."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import fx

from tidegate.models.graph import Argument, BatchSize
from tidegate.models.importing.lowering.reader import ExportError, Rule, Value
from tidegate.models.importing.lowering.writer import MATMUL, PERMUTE, Writer, rule

RESHAPE = "aten.reshape.default"


@dataclass(frozen=True, slots=True)
class _Axes:
    """The letters of an equation by what becomes of them; the first is the samples'."""

    samples: str
    both: str
    summed: str
    first: str
    second: str

    @classmethod
    def of(cls, first: str, second: str, out: str, *, weight: bool) -> "_Axes | None":
        """None for what one product can't say: a diagonal, a sum over one operand alone, samples elsewhere."""
        letters = (first, second, out)
        if any(len(set(each)) != len(each) or not each.isalpha() for each in letters):
            return None
        samples = first[0]
        shared = {each for each in first if each in second}
        alone = (set(first) ^ set(second)) - set(out)
        if alone or out[:1] != samples or (samples in second) == weight or (not weight and second[0] != samples):
            return None
        return cls(
            samples,
            "".join(each for each in first[1:] if each in shared and each in out),
            "".join(each for each in first[1:] if each in shared and each not in out),
            "".join(each for each in first[1:] if each not in shared),
            "".join(each for each in second if each not in shared and each != samples),
        )


def sum_convention(write: Writer, given: dict[str, Any]) -> Value:
    equation, operands = str(given["equation"]).replace(" ", ""), list(given["tensors"])
    inputs, arrow, out = equation.partition("->")
    names = inputs.split(",")
    if len(operands) != 2 or not arrow:
        raise _refusal(write, equation)
    if write.tensor(operands[0]) is not None:
        operands.reverse()
        names.reverse()
    weight = write.tensor(operands[1])
    axes = _Axes.of(names[0], names[1], out, weight=weight is not None)
    if axes is None:
        raise _refusal(write, equation)
    sizes = dict(zip(names[0][1:], write.shape(operands[0]), strict=True))
    other_shape = tuple(weight.shape) if weight is not None else write.shape(operands[1])
    sizes |= dict(zip(names[1] if weight is not None else names[1][1:], other_shape, strict=True))

    def count(letters: str) -> int:
        return math.prod(sizes[each] for each in letters)

    outer = tuple(sizes[each] for each in axes.both)
    x = _in_order(write, operands[0], names[0], axes.samples + axes.both + axes.first + axes.summed, sizes)
    x = _shaped(write, x, (*outer, count(axes.first), count(axes.summed)))
    order = axes.both + axes.summed + axes.second
    if weight is not None:
        turned = weight.permute([names[1].index(each) for each in order])
        matrix = turned.reshape(*outer, count(axes.summed), count(axes.second))
        if axes.both:
            y = write.add(
                MATMUL, x, write.constant("weight", matrix.contiguous()), shape=_product(axes, outer, count)
            )
        else:
            layer = write.constant("weight", matrix.t().contiguous())
            y = write.add("aten.linear.default", x, layer, shape=_product(axes, outer, count))
    else:
        other = _in_order(write, operands[1], names[1], axes.samples + order, sizes)
        other = _shaped(write, other, (*outer, count(axes.summed), count(axes.second)))
        y = write.add(MATMUL, x, other, shape=_product(axes, outer, count))
    found = axes.both + axes.first + axes.second
    apart = _shaped(write, y, tuple(sizes[each] for each in found))
    return _permuted(write, apart, axes.samples + found, out, sizes)


def _product(axes: _Axes, outer: tuple[int, ...], count: Callable[[str], int]) -> tuple[int, ...]:
    return (*outer, count(axes.first), count(axes.second))


def _in_order(write: Writer, source: fx.Node, letters: str, order: str, sizes: dict[str, int]) -> Argument:
    return _permuted(write, write.read(source), letters, order, sizes)


def _permuted(write: Writer, x: Argument, letters: str, order: str, sizes: dict[str, int]) -> Argument:
    if letters == order:
        return x
    places = tuple(letters.index(each) for each in order)
    return write.add(PERMUTE, x, places, shape=tuple(sizes[each] for each in order[1:]))


def _shaped(write: Writer, x: Argument, shape: tuple[int, ...]) -> Argument:
    return write.add(RESHAPE, x, (BatchSize(), *shape), shape=shape)


def _refusal(write: Writer, equation: str) -> ExportError:
    return write.reader.refusal(
        write.node,
        f"einsum {equation}; allowed are two operands with samples in front, of which every axis "
        "is multiplied or kept",
    )


RULES: dict[str, Rule] = {"aten.einsum.default": rule(sum_convention)}
