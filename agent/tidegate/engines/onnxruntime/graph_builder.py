"""Where ONNX operators are collected, and how arguments of graphs are read for them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime.protobuf import Attribute, OnnxNode, TensorValue
from tidegate.models.graph import Argument, Node, Ref, Weight


@dataclass(slots=True)
class Scope:
    """Collects the nodes and constants of one graph, small ones by name; `name` keeps segments' names apart."""

    name: str
    shapes: Mapping[str, tuple[int, ...]]
    nodes: list[OnnxNode] = field(default_factory=list)
    constants: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    tensors: list[TensorValue] = field(default_factory=list)

    def emit(self, kind: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> str:
        """Add an operator; gives its output's name."""
        self.nodes.append(OnnxNode(kind, tuple(inputs), (output,), attributes))
        return output

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        """Add a constant; gives its name. Raises ValueError where that stands for another value already."""
        known = self.constants.setdefault(name, value)
        if known is not value and not (known.dtype == value.dtype and np.array_equal(known, value)):
            raise ValueError(f"the constant {name!r} of graph {self.name!r} would stand for two values")
        return name

    def operand(self, argument: Argument, where: str) -> str:
        """The ONNX name of a tensor argument; a number becomes a constant."""
        match argument:
            case Ref(name):
                return self.values[name]
            case Weight(name):
                return name
            case bool() | int() | float():
                return self.constant(f"{where}/number", np.asarray(argument, np.float32))
            case _:
                raise Unconvertible(f"argument {argument!r} is not a tensor")


class Unconvertible(UnsupportedPoint):
    """An operator or argument that has no ONNX form here."""


Convert = Callable[[Scope, Node, str], None]


def filled(arguments: Sequence[Argument], defaults: Sequence[Argument]) -> Iterator[Argument]:
    """Arguments, and defaults for those that are left out at the end."""
    yield from arguments
    yield from defaults[len(arguments) :]


def pair(value: Argument) -> list[int]:
    """Height and width from one number or two."""
    numbers = whole_numbers(value)
    return numbers * 2 if len(numbers) == 1 else numbers


def whole_numbers(value: Argument) -> list[int]:
    """One whole number or several. Raises Unconvertible."""
    match value:
        case int():
            return [value]
        case tuple() if all(isinstance(item, int) for item in value):
            return [item for item in value if isinstance(item, int)]
        case _:
            raise Unconvertible(f"{value!r} is not a list of whole numbers")


def number(value: Argument) -> float:
    """A number. Raises Unconvertible."""
    if isinstance(value, int | float):
        return float(value)
    raise Unconvertible(f"{value!r} is not a number")
