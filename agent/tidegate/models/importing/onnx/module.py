"""An ONNX graph as a torch module: a submodule per node, what doesn't depend on the input computed beforehand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tidegate.models.importing.lowering.reader import ExportError
from tidegate.models.importing.one_output import joined
from tidegate.models.importing.onnx.call import Unsupported, Value
from tidegate.models.importing.onnx.file import OnnxGraph, axis_of_samples
from tidegate.models.importing.onnx.folding import folded, zeros_for
from tidegate.models.importing.onnx.fusing import fused
from tidegate.models.importing.onnx.layer import OnnxLayer, first_line
from tidegate.models.importing.onnx.naming import path_of, put
from tidegate.models.importing.onnx.node import OnnxNode

LINEAR = "tidegate.Linear"
"""A Gemm or MatMul by a constant, with the weight as torch's linear layers have it."""


class OnnxModule(nn.Module):
    """The whole graph. Raises ExportError naming every node that torch can't take, with its reason."""

    def __init__(self, graph: OnnxGraph, input_shape: Sequence[int], output: str | None = None) -> None:
        """`input_shape` is per sample; `output` names one of several, or several that are joined."""
        super().__init__()
        self.graph = graph
        self.outputs = chosen_outputs(graph, output)
        steps, constants = folded(graph, input_shape)
        self._steps: list[_Step] = []
        steps = fused(steps, constants, graph.outputs)
        for node in _merged(steps, constants, graph.opset):
            known = {place: constants[name] for place, name in enumerate(node.inputs) if name in constants}
            layer = OnnxLayer(node, graph.opset, known, graph.one_sample)
            where = put(self, path_of(node.name, node.operator), layer)
            read = tuple(name for name in node.inputs if name and name not in constants)
            self._steps.append(_Step(where, read, node.outputs))
        self._sample_axes: dict[str, int] = {}
        self.eval()
        self._try(zeros_for(graph, input_shape))

    def forward(self, x: Tensor) -> Tensor:
        """(samples, *input shape) to the chosen output; several are flattened, one behind the other."""
        values: dict[str, Value] = {self.graph.input: x}
        for step in self._steps:
            results = self.get_submodule(step.path)(*(values[name] for name in step.inputs))
            values.update(zip(step.outputs, results, strict=False))
        answers = []
        for name in self.outputs:
            answer = values[name]
            if not isinstance(answer, Tensor):
                raise ExportError(f"{self.graph.name}: {name} is made of the input's shape alone")
            answers.append(answer.movedim(self._sample_axes.get(name, 0), 0))
        return joined(answers)

    def _try(self, x: Tensor) -> None:
        """Once through all nodes, to find at once whatever can't be taken."""
        values: dict[str, Value] = {self.graph.input: x}
        reasons = []
        with torch.no_grad():
            for step in self._steps:
                if any(name not in values for name in step.inputs):
                    continue
                layer = self.get_submodule(step.path)
                node: Any = layer.node
                try:
                    results = layer(*(values[name] for name in step.inputs))
                except (Unsupported, RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
                    reasons.append(f"node {node.name}: {node.operator}: {first_line(error)}")
                    continue
                values.update(zip(step.outputs, results, strict=False))
        if reasons:
            raise ExportError("\n".join(f"{self.graph.name}: {reason}" for reason in reasons))
        stated = self.graph.sample_axes
        for name in self.outputs:
            self._sample_axes[name] = axis_of_samples(values[name].shape, len(x), stated.get(name, 0))


@dataclass(frozen=True, slots=True)
class _Step:
    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def chosen_outputs(graph: OnnxGraph, output: str | None) -> tuple[str, ...]:
    """The named output, or several with commas between them, or the only one. Raises ExportError."""
    if output is None and len(graph.outputs) == 1:
        return graph.outputs
    names = () if output is None else (output,) if output in graph.outputs else tuple(output.split(","))
    if names and set(names) <= set(graph.outputs):
        return names
    found = f"has no output {output}" if output is not None else f"has {len(graph.outputs)} outputs"
    raise ExportError(
        f"{graph.name}: {found}; name one with --output: {', '.join(graph.outputs)}; several with commas between "
        "them are joined"
    )


def _merged(nodes: Sequence[OnnxNode], constants: dict[str, npt.NDArray[Any]], opset: int) -> Sequence[OnnxNode]:
    """Products with a constant as linear layers, with the constant that alone is added behind them as a bias."""
    readers = Counter(name for node in nodes for name in node.inputs)
    adding = {name: node for node in nodes if node.operator == "Add" for name in node.inputs if readers[name] == 1}
    merged: dict[str, OnnxNode] = {}
    found = []
    for node in nodes:
        if node.name in merged:
            continue
        linear = _linear(node, constants, opset)
        add = adding.get(node.outputs[0])
        if linear is None or add is None or len(linear.inputs) > 2:
            found.append(linear or node)
            continue
        bias = next(name for name in add.inputs if name != node.outputs[0]) if len(set(add.inputs)) > 1 else ""
        outputs = constants[linear.inputs[1]].shape[0]
        if bias in constants and constants[bias].shape == (outputs,):
            merged[add.name] = add
            linear = replace(linear, inputs=(*linear.inputs, bias), outputs=add.outputs)
        found.append(linear)
    return found


def _linear(node: OnnxNode, constants: dict[str, npt.NDArray[Any]], opset: int) -> OnnxNode | None:
    """A product with a constant (inputs, outputs) as a linear layer; None for any other node."""
    if node.operator not in {"MatMul", "Gemm"} or len(node.inputs) < 2 or opset < 7:
        return None
    first, second, *others = node.inputs
    weight = constants.get(second)
    attributes = node.attributes
    if weight is None or weight.ndim != 2 or first in constants or attributes.get("transA", 0):
        return None
    bias = others[0] if others and others[0] else None
    if bias is not None and (
        bias not in constants or constants[bias].size not in {1, weight.shape[0], weight.shape[1]}
    ):
        return None
    turned = weight if attributes.get("transB", 0) else weight.T
    name = f"{second}/linear/{node.name}"
    constants[name] = np.ascontiguousarray(turned * np.float32(attributes.get("alpha", 1.0)))
    inputs: tuple[str, ...] = (first, name)
    if bias is not None:
        scaled = constants[bias].reshape(-1) * np.float32(attributes.get("beta", 1.0))
        constants[f"{name}/bias"] = np.ascontiguousarray(np.broadcast_to(scaled, (turned.shape[0],)))
        inputs = (*inputs, f"{name}/bias")
    return OnnxNode(node.name, LINEAR, inputs, node.outputs, {})
