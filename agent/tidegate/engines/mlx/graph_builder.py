"""A graph as a list of MLX calls: layouts and arguments are settled once, when it is built.

MLX wants images with the channels last. A value keeps the order in which its axes lie, so that permuting is free
and only an operator that wants another order pays for a transpose. The first axis is the samples', always.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.mlx.stored_weight import Form, PackedMatrix, StoredWeight
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.engines.plan.axis_order import Order
from tidegate.models.graph import Argument, Node, Ref, Weight
from tidegate.models.network import Shape

Compute = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Value:
    """What a register holds: its shape as the graph has it, (1, ...) for any number of samples, and the order in
    which its axes lie."""

    register: int
    shape: Shape
    order: Order

    @property
    def physical(self) -> Shape:
        """The shape as it lies in memory, 1 for the samples."""
        return tuple(self.shape[axis] for axis in self.order)

    @property
    def rank(self) -> int:
        """How many axes, the samples' included."""
        return len(self.shape)

    def place(self, axis: int) -> int:
        """Where an axis of the graph lies."""
        return self.order.index(axis % self.rank)


@dataclass(frozen=True, slots=True)
class _Step:
    compute: Compute
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True, slots=True)
class Program:
    """Steps from one value to another. What it gives is computed when it is evaluated."""

    steps: tuple[_Step, ...]
    output: int
    weights: tuple[StoredWeight, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Any number of samples, in the order of axes that the program was built for."""
        # Gone when this returns: MLX then reuses the memory of a value as soon as the last reader has it.
        registers: list[Tensor] = [x] * (len(self.steps) + 1)
        for step in self.steps:
            registers[step.output] = step.compute(*[registers[index] for index in step.inputs])
        return registers[self.output]


@dataclass(slots=True)
class GraphBuilder:
    """One program under construction. `read_weight` gives a network's weights by name and form."""

    read_weight: Callable[[str, Form], StoredWeight]
    values: dict[str, Value] = field(default_factory=dict)
    _steps: list[_Step] = field(default_factory=list)
    _weights: list[StoredWeight] = field(default_factory=list)

    def emit(self, compute: Compute, inputs: Sequence[Value | int], shape: Shape, order: Order) -> Value:
        """Add a step that computes a value of that shape from others."""
        registers = tuple(each.register if isinstance(each, Value) else each for each in inputs)
        self._steps.append(_Step(compute, registers, len(self._steps) + 1))
        return Value(len(self._steps), shape, order)

    def done(self, output: Value) -> Program:
        """The program that ends with a value."""
        return Program(tuple(self._steps), output.register, tuple(self._weights))

    def read(self, argument: Argument) -> Value:
        """The value that an argument refers to. Raises Unconvertible where it is none."""
        if not isinstance(argument, Ref):
            raise Unconvertible("of a constant")
        return self.values[argument.ref]

    def weight(self, argument: Argument, form: Form) -> int:
        """The register of a weight in float32. Raises Unconvertible for an argument that names none."""
        return self.emit(self._held(argument, form).widened, (), (), ()).register

    def matrix(self, argument: Argument) -> Compute:
        """What multiplies (..., inputs) with a linear layer's weight, to (..., outputs)."""
        held = self._held(argument, Form(2, (0, 1), matrix=True))
        if isinstance(held, PackedMatrix):
            return held.times
        return lambda x: x @ held.widened().T

    def _held(self, argument: Argument, form: Form) -> StoredWeight:
        if not isinstance(argument, Weight):
            raise Unconvertible(f"argument {argument!r} is not a weight")
        self._weights.append(self.read_weight(argument.weight, form))
        return self._weights[-1]

    def laid_out(self, value: Value, order: Order) -> Value:
        """The value with its axes in another order."""
        if value.order == order:
            return value
        places = [value.order.index(axis) for axis in order]
        return self.emit(lambda x: mx.transpose(x, places), [value], value.shape, order)

    def reshaped(self, value: Value, shape: Shape, order: Order) -> Value:
        """The same numbers under another shape, as they lie."""
        physical = tuple(shape[axis] for axis in order)
        if physical == value.physical:
            return Value(value.register, shape, order)
        return self.emit(lambda x: mx.reshape(x, (x.shape[0], *physical[1:])), [value], shape, order)


Convert = Callable[[GraphBuilder, Node], Value]
"""Emits a node."""


def sized(node: Node) -> Shape:
    """A node's shape with the samples' axis."""
    return (1, *node.shape)
