"""Where ONNX operators are collected, and how arguments of graphs are read for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tidegate.engines.onnxruntime.protobuf import Attribute, OnnxNode, TensorValue
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.engines.plan.quantization import QuantParams
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
    on_codes: bool = False
    """Whether the node at hand reads codes and gives codes; what lies in between is then to be `rounded` too."""

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

    def rounded(self, value: str, params: QuantParams, output: str) -> str:
        """The value on a grid, as `output`.

        ONNX Runtime computes on integers what lies between DequantizeLinear and QuantizeLinear.
        """
        constants = self.params(f"{output}/params", params)
        codes = self.emit("QuantizeLinear", [value, *constants], f"{output}/on_grid")
        return self.emit("DequantizeLinear", [codes, *constants], output)

    def params(self, name: str, params: QuantParams) -> tuple[str, str]:
        """Names of scale and zero point as constants."""
        return (
            self.constant(f"{name}/scale", np.asarray(params.scale, np.float32)),
            self.constant(f"{name}/zero", np.asarray(params.zero_point, np.uint8)),
        )

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
