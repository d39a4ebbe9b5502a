"""Which values of a segment lie in memory: where AA-ReLU can act, and where activations cost bytes."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidegate.models.graph import INPUT, Node, Ref, Segment
from tidegate.models.graph.bounds import least_values
from tidegate.models.graph.operator import Kind
from tidegate.models.graph.operators import OPERATORS


@dataclass(frozen=True, slots=True)
class ActivationTensor:
    """A value that lies in memory: the output of `node` in `segment`, with `elements` per sample.

    `floor` is the least value possible, 0 where none is negative, None where they have no bound; `reads` names the
    activation tensors (INPUT for the segment's own input) that are needed to compute it. `is_activation` tells
    outputs of an activation function, where thresholds make sense, from sums, pools and linear outputs.
    """

    segment: str
    node: str
    elements: int
    floor: float | None
    is_activation: bool
    reads: frozenset[str]

    @property
    def name(self) -> str:
        """`segment.node`, by which ladder.json names it."""
        return f"{self.segment}.{self.node}"


def activation_tensors_of(segment: Segment) -> tuple[ActivationTensor, ...]:
    """The activation tensors of a segment in the order in which they are computed.

    A convolution, linear layer, sum or product whose only reader works on it value by value is not stored: engines
    fuse the two. Views are no values of their own. Layouts and scratch memory of kernels are not counted.
    """
    nodes = {node.name: node for node in segment.nodes}
    readers: dict[str, list[Node]] = {name: [] for name in (INPUT, *nodes)}
    for node in segment.nodes:
        for name in _operands(node):
            readers[name].append(node)
    unstored = {
        node.name
        for node in segment.nodes
        if OPERATORS[node.operator].kind is Kind.VIEW or _is_fused(node, readers[node.name])
    }
    floors = least_values(segment)
    return tuple(
        ActivationTensor(
            segment.name,
            node.name,
            math.prod(node.shape),
            floors[node.name],
            OPERATORS[node.operator].kind is Kind.ACTIVATION,
            frozenset(_stored_operands(node, nodes, unstored)),
        )
        for node in segment.nodes
        if node.name not in unstored
    )


def _operands(node: Node) -> Iterator[str]:
    return (leaf.ref for leaf in node.leaves if isinstance(leaf, Ref))


def _is_fused(node: Node, readers: list[Node]) -> bool:
    if not OPERATORS[node.operator].takes_epilogue or len(readers) != 1:
        return False
    return OPERATORS[readers[0].operator].is_elementwise and readers[0].shape == node.shape


def _stored_operands(node: Node, nodes: Mapping[str, Node], unstored: set[str]) -> Iterator[str]:
    for name in _operands(node):
        if name in unstored:
            yield from _stored_operands(nodes[name], nodes, unstored)
        else:
            yield name
