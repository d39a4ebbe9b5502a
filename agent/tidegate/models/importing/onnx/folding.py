"""What of an ONNX graph doesn't depend on the input's values: constants, and which side of an `If` is taken."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tidegate.models.importing.lowering.reader import ExportError
from tidegate.models.importing.onnx.call import Call, Unsupported, Value
from tidegate.models.importing.onnx.file import OnnxGraph
from tidegate.models.importing.onnx.layer import OnnxLayer, called, first_line
from tidegate.models.importing.onnx.node import Branch, OnnxNode, read_by

Constants = dict[str, npt.NDArray[Any]]
_FAILURES = (Unsupported, RuntimeError, ValueError, TypeError, IndexError, KeyError)


def folded(graph: OnnxGraph, input_shape: Sequence[int]) -> tuple[list[OnnxNode], Constants]:
    """The nodes that depend on the input, and all constants, those computed by the other nodes too.

    Of an `If` the nodes of one side stand in its place: which one must not depend on the input's values, but may
    on its shape. Raises ExportError.
    """
    constants = {name: _plain(array) for name, array in graph.constants.items()}
    constants |= {name: _plain(array) for name, array in graph.fixed_values(input_shape).items()}
    needed = _needed(graph)
    waiting = deque(node for node in graph.nodes if needed.intersection(node.outputs))
    trial = _Trial(graph, input_shape) if any(node.operator == "If" for node in waiting) else None
    left = []
    while waiting:
        node = waiting.popleft()
        if node.operator == "If":
            waiting.extendleft(reversed(_taken(node, constants, trial, graph.name)))
        elif node.operator == "Constant":
            constants[node.outputs[0]] = _stated(node)
        elif all(not name or name in constants for name in node.inputs):
            constants.update(_computed(node, graph, constants))
        else:
            left.append(node)
            if trial is not None:
                trial.run(node, constants)
    return left, constants


def zeros_for(graph: OnnxGraph, input_shape: Sequence[int]) -> Tensor:
    """Two inputs of the graph's type."""
    return torch.zeros(2, *input_shape, dtype=torch.int64 if graph.whole else torch.float32)


class _Trial:
    """The graph on zeros, node by node, to see which values are made of shapes alone."""

    def __init__(self, graph: OnnxGraph, input_shape: Sequence[int]) -> None:
        self.values: dict[str, Value] = {graph.input: zeros_for(graph, input_shape)}
        self._graph = graph

    def run(self, node: OnnxNode, constants: Constants) -> None:
        """Where it can't be run it has no value, which an `If` on it will say."""
        known = {place: constants[name] for place, name in enumerate(node.inputs) if name in constants}
        layer = OnnxLayer(node, self._graph.opset, known, self._graph.one_sample)
        try:
            given = [self.values[name] for name in node.inputs if name and name not in constants]
            with torch.no_grad():
                results = layer(*given)
        except _FAILURES:
            return
        self.values.update(zip(node.outputs, results, strict=False))


def _taken(node: OnnxNode, constants: Constants, trial: _Trial | None, where: str) -> list[OnnxNode]:
    """The nodes of the side that is taken, and what gives their results the names of the `If`'s."""
    (name,) = node.inputs
    condition = constants.get(name)
    if condition is None and trial is not None:
        found = trial.values.get(name)
        condition = None if isinstance(found, Tensor) else found
    if condition is None:
        raise ExportError(
            f"{where}: node {node.name}: If: which side is taken depends on the input's values; graphs have one "
            "way for all: export the side that is wanted, or fix the input that decides with --fix NAME=NUMBER"
        )
    side: Branch = node.attributes["then_branch" if np.asarray(condition).reshape(-1)[0] else "else_branch"]
    constants.update({held: _plain(array) for held, array in side.constants.items()})
    named = [
        OnnxNode(f"{node.name}/{index}", "Identity", (inner,), (outer,), {})
        for index, (inner, outer) in enumerate(zip(side.outputs, node.outputs, strict=False))
    ]
    return [*side.nodes, *named]


def _needed(graph: OnnxGraph) -> set[str]:
    needed = set(graph.outputs)
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(read_by(node))
    return needed


def _stated(node: OnnxNode) -> npt.NDArray[Any]:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            value = np.asarray(node.attributes[name])
            return _plain(value if value.dtype != np.float64 else value.astype(np.float32))
    raise ExportError(f"node {node.name}: Constant: holds {', '.join(node.attributes)}; allowed are numbers")


def _computed(node: OnnxNode, graph: OnnxGraph, constants: Mapping[str, npt.NDArray[Any]]) -> Constants:
    inputs = [torch.from_numpy(np.array(constants[name])) if name else None for name in node.inputs]
    call = Call(node.operator, graph.opset, inputs, node.attributes, outputs=len(node.outputs))
    try:
        with torch.no_grad():
            results = called(call)
    except _FAILURES as error:
        raise ExportError(f"{graph.name}: node {node.name}: {node.operator}: {first_line(error)}") from error
    arrays = [result.numpy() if isinstance(result, Tensor) else np.asarray(result.tolist()) for result in results]
    return dict(zip(node.outputs, arrays, strict=False))


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Numbers in float32; whole ones and truth values as they are."""
    return array.astype(np.float32) if array.dtype.kind not in "biu" else array
