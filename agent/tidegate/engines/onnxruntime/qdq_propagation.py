"""Graphs on which ONNX Runtime's QDQPropagationTransformer takes the process along, and has to stay off.

It moves DequantizeLinear past nodes that only move values, and redirects who reads them by the place of the read
among a node's inputs. A branch of an `If` reads without being an input, so that place is past the end of the list:
1.32 aborts ("Assertion '__n < this->size()' failed"), and a build without assertions writes there
(onnxruntime/core/optimizer/qdq_transformer/qdq_propagation.cc, InsertQDQPairs).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.engines.onnxruntime.protobuf import OnnxGraph, OnnxNode

OPTIMIZER = "QDQPropagationTransformer"

_MOVING = frozenset({"MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
"""What it moves DequantizeLinear past: CanNodePropagate in the same file."""
_ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})


def disabled_optimizers(graph: OnnxGraph) -> tuple[str, ...]:
    """The names of those of ONNX Runtime's optimizers that must not see the graph."""
    sources = _Sources(
        {output: node for node in graph.nodes for output in node.outputs},
        frozenset(each.name for each in graph.constants if np.prod(each.shape) == 1),
    )
    captured = {name for node in graph.nodes for branch in _branches(node) for name in _read_in(branch)}
    return (OPTIMIZER,) if any(sources.moved_from_codes(name) for name in captured) else ()


@dataclass(frozen=True, slots=True)
class _Sources:
    made_by: Mapping[str, OnnxNode]
    single_numbers: frozenset[str]

    def moved_from_codes(self, value: str, moved: bool = False) -> bool:
        """Whether all between DequantizeLinear and the value only moves values, and something does."""
        node = self.made_by.get(value)
        if node is None:
            return False
        if node.type == "DequantizeLinear":
            return moved
        if node.type in _MOVING or node.type == "Identity":
            return self.moved_from_codes(node.inputs[0], moved or node.type in _MOVING)
        if node.type in _ARITHMETIC and self.single_numbers.intersection(node.inputs):
            # Another optimizer removes a sum with 0 and a product with 1, and this one comes after it.
            return any(self.moved_from_codes(name, moved) for name in node.inputs)
        return False


def _read_in(graph: OnnxGraph) -> Iterator[str]:
    for node in graph.nodes:
        yield from node.inputs
        for branch in _branches(node):
            yield from _read_in(branch)


def _branches(node: OnnxNode) -> Iterator[OnnxGraph]:
    return (value for value in node.attributes.values() if isinstance(value, OnnxGraph))
