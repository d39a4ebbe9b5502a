"""Where ONNX operators are collected, and how arguments of graphs are read for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tidegate.engines.onnxruntime.protobuf import Attribute, OnnxNode, TensorValue
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.models.graph import Argument, Node, Ref, Weight


@dataclass(slots=True)
class GraphBuilder:
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


Convert = Callable[[GraphBuilder, Node, str], None]
