"""Which values of a segment lie in memory: where AA-ReLU can act, and where activations cost bytes."""

import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from tidegate.models.graph import Node, Segment
from tidegate.models.graph.bounds import least_values
from tidegate.models.graph.fusion import fused_with_reader
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

    What is fused with its reader is not stored (`models.graph.fusion`). Views are no values of their own. Layouts
    and scratch memory of kernels are not counted.
    """
    nodes = {node.name: node for node in segment.nodes}
    unstored = fused_with_reader(segment) | {
        node.name for node in segment.nodes if OPERATORS[node.operator].kind is Kind.VIEW
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


def _stored_operands(node: Node, nodes: Mapping[str, Node], unstored: Set[str]) -> Iterator[str]:
    for name in node.operands:
        if name in unstored:
            yield from _stored_operands(nodes[name], nodes, unstored)
        else:
            yield name
