"""Writes what stands for one operator of torch, step by step."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx

from tidegate.models.graph import Argument, Ref, Weight
from tidegate.models.importing.lowering.reader import Expanded, Reader, Rule, Value, call

MUL, ADD, SUB = "aten.mul.Tensor", "aten.add.Tensor", "aten.sub.Tensor"
MATMUL, PERMUTE = "aten.matmul.default", "aten.permute.default"
FAR_BELOW = -1e4
"""For minus infinity in front of a softmax: its exponential is 0 in float32, and sums with it stay finite."""

LARGEST = 3.4028234663852886e38
"""Of float32: no limit, as a number that JSON has."""


def within_float32(value: float) -> float:
    """A limit as a number that JSON has: infinity is no limit."""
    return min(max(float(value), -LARGEST), LARGEST)


class Writer:
    """Adds the steps of one operator; names them apart."""

    def __init__(self, reader: Reader, node: fx.Node) -> None:
        self.reader, self.node, self._steps = reader, node, 0

    def add(self, operator: str, *args: Argument, shape: tuple[int, ...] | None = None) -> Ref:
        """A step; of the result's own shape unless one is given."""
        self._steps += 1
        sizes = self.reader.shape(self.node) if shape is None else shape
        return self.reader.add(self.node, operator, args, sizes, f"_{self._steps}")

    def read(self, source: object) -> Argument:
        """An argument; a weight that is repeated for every sample is the weight."""
        value = self.reader.values.get(source.name) if isinstance(source, fx.Node) else None
        return value.weight if isinstance(value, Expanded) else self.reader.argument(source)

    def value(self, source: object) -> Argument:
        """An argument that is no weight: one that is known is made of zeros and the weight."""
        known = self.tensor(source)
        if known is None or not isinstance(source, fx.Node):
            return self.reader.argument(source)
        return self.reader.made_of(source, known)

    def shape(self, source: fx.Node) -> tuple[int, ...]:
        """Of a value, per sample."""
        return self.reader.shape(source)

    def tensor(self, source: object) -> Tensor | None:
        """The values of an argument that is known; None for one that is not."""
        value = self.reader.values.get(source.name) if isinstance(source, fx.Node) else None
        weight = value.weight if isinstance(value, Expanded) else value
        return self.reader.tensors[weight.weight] if isinstance(weight, Weight) else None

    def constant(self, name: str, tensor: Tensor) -> Weight:
        """A weight that comes of this operator."""
        return self.reader.constant(self.node, name, tensor.float())


def rule(write: Callable[["Writer", dict[str, Any]], Value]) -> Rule:
    """A rule that reads an operator's arguments by name and writes steps."""
    return lambda reader, node: write(Writer(reader, node), call(node))


def with_size(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    """The shape per sample with another size at an axis that counts the samples'."""
    return (*shape[: axis - 1], size, *shape[axis:])
