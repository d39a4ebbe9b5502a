"""Where LiteRT operators are collected: values with their layout, and how arguments of graphs are read for them.

LiteRT wants images with the channels last. A value keeps the order in which its axes lie, so that permuting is
free and only an operator that wants another order pays for a transpose.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.engines.litert.flatbuffer import ModelBuilder
from tidegate.engines.litert.options import options
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.engines.plan.axis_order import Order
from tidegate.engines.plan.quantization import QuantParams
from tidegate.models.graph import Argument, Node, Ref, Weight
from tidegate.models.network import Shape, WeightArray


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of one sample: its shape as the graph has it, (1, ...), and which of its axes lies at each place.

    With `params` it holds int8 codes, without them float32.
    """

    tensor: int
    shape: Shape
    order: Order
    params: QuantParams | None = None

    @property
    def physical(self) -> Shape:
        """The shape as it lies in memory."""
        return tuple(self.shape[axis] for axis in self.order)

    def place(self, axis: int) -> int:
        """Where an axis of the graph lies."""
        return self.order.index(axis % len(self.shape))


@dataclass(slots=True)
class GraphBuilder:
    """One model under construction. `weights` gives a network's arrays by name."""

    model: ModelBuilder
    weights: Callable[[str], WeightArray]
    values: dict[str, Value] = field(default_factory=dict)
    on_codes: bool = False
    """Whether operators read values as they are kept; else in float32."""
    _floats: dict[int, Value] = field(default_factory=dict)
    _constants: dict[tuple[bytes, str, Shape], int] = field(default_factory=dict)
    _count: int = 0

    def new(self, shape: Shape, order: Order, params: QuantParams | None = None) -> Value:
        """A value to be computed; `shape` with the sample's axis in front."""
        physical = [shape[axis] for axis in order]
        self._count += 1
        return Value(self.model.tensor(f"t{self._count}", physical, params=params), shape, order, params)

    def emit(self, kind: str, inputs: Sequence[int], like: Value, options: Any = None) -> Value:
        """Add an operator that computes `like`."""
        self.model.emit(kind, inputs, [like.tensor], options)
        return like

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> int:
        """A constant's tensor; equal ones are one."""
        array = np.ascontiguousarray(np.asarray(value, dtype))
        key = (array.tobytes(), array.dtype.str, array.shape)
        if key not in self._constants:
            self._constants[key] = self.model.constant(f"c{len(self._constants)}", array)
        return self._constants[key]

    def laid_out(self, value: Value, order: Order) -> Value:
        """The value with its axes in another order."""
        if value.order == order:
            return value
        turned = replace(value, order=order, tensor=-1)
        # Axes of one element lie anywhere: their order is a matter of shape alone.
        wide = [axis for axis in value.order if value.shape[axis] > 1]
        if wide == [axis for axis in order if value.shape[axis] > 1]:
            return self.reshaped(value, turned.physical, value.shape, order)
        places = self.constant([value.order.index(axis) for axis in order], np.int32)
        out = self.new(value.shape, order, value.params)
        return self.emit("TRANSPOSE", [value.tensor, places], out, options("Transpose"))

    def reshaped(self, value: Value, physical: Shape, shape: Shape, order: Order) -> Value:
        """The same numbers under another shape."""
        if physical == value.physical:
            return replace(value, shape=shape, order=order)
        sizes = self.constant(physical, np.int32)
        table = options("Reshape", newShape=np.asarray(physical, np.int32))
        return self.emit("RESHAPE", [value.tensor, sizes], self.new(shape, order, value.params), table)

    def floats(self, value: Value) -> Value:
        """The value in float32."""
        if value.params is None:
            return value
        if value.tensor not in self._floats:
            out = self.new(value.shape, value.order)
            self._floats[value.tensor] = self.emit("DEQUANTIZE", [value.tensor], out, options("Dequantize"))
        found = self._floats[value.tensor]
        return replace(found, shape=value.shape, order=value.order)

    def codes(self, value: Value, params: QuantParams) -> Value:
        """The value as codes of these parameters."""
        if value.params == params:
            return value
        out = self.new(value.shape, value.order, params)
        return self.emit("QUANTIZE", [value.tensor], out, options("Quantize"))

    def copied(self, value: Value) -> Value:
        """The value once more."""
        sizes = np.asarray(value.physical, np.int32)
        out = self.new(value.shape, value.order, value.params)
        inputs = [value.tensor, self.constant(sizes, np.int32)]
        return self.emit("RESHAPE", inputs, out, options("Reshape", newShape=sizes))

    @contextmanager
    def instead_of(self, weight: str, array: WeightArray) -> Iterator[None]:
        """Meanwhile the named weight is another array."""
        known = self.weights
        self.weights = lambda name: array if name == weight else known(name)
        try:
            yield
        finally:
            self.weights = known

    def read(self, argument: Argument) -> Value:
        """The value that an argument refers to. Raises Unconvertible where it is none."""
        if not isinstance(argument, Ref):
            raise Unconvertible("of a constant")
        value = self.values[argument.ref]
        return value if self.on_codes else self.floats(value)

    def array(self, argument: Argument) -> WeightArray:
        """The weight that an argument names. Raises Unconvertible."""
        if not isinstance(argument, Weight):
            raise Unconvertible(f"argument {argument!r} is not a weight")
        return self.weights(argument.weight)


Convert = Callable[[GraphBuilder, Node, QuantParams | None], Value]
"""Emits a node; with parameters its inputs are codes and so is what comes out."""


def sized(node: Node) -> Shape:
    """A node's shape with the sample's axis."""
    return (1, *node.shape)
