"""Networks as graphs: segments of nodes, each the call of an operator that the table of operators knows."""

from tidegate.models.graph.arguments import INPUT, Argument, BatchSize, Ref, Weight
from tidegate.models.graph.segment import MAX_ELEMENTS_PER_SAMPLE, MAX_NODES, Node, Segment, layer_of

__all__ = [
    "INPUT",
    "MAX_ELEMENTS_PER_SAMPLE",
    "MAX_NODES",
    "Argument",
    "BatchSize",
    "Node",
    "Ref",
    "Segment",
    "Weight",
    "layer_of",
]
