"""What runtimes compute in one kernel with the operator that reads it, so that it lies in memory in no engine."""

from collections import Counter
from collections.abc import Mapping

from tidegate.models.graph.operator import Quantization
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.graph.segment import Node, Segment


def only_readers(segment: Segment) -> Mapping[str, Node]:
    """The node that reads a value, by the value's name, for values that are read once."""
    reads = Counter(name for node in segment.nodes for name in node.operands)
    return {name: node for node in segment.nodes for name in node.operands if reads[name] == 1}


def fused_with_reader(segment: Segment) -> frozenset[str]:
    """Nodes whose value the kernel of its only reader takes over: that reader works on it value by value."""
    readers = only_readers(segment)
    return frozenset(node.name for node in segment.nodes if _is_fused(node, readers.get(node.name)))


def is_clamp(node: Node) -> bool:
    """Whether it only cuts values off: quantizing to uint8 does the same, so runtimes drop it before one."""
    return OPERATORS[node.operator].quantization is Quantization.CLAMP


def _is_fused(node: Node, reader: Node | None) -> bool:
    if reader is None or not OPERATORS[node.operator].takes_epilogue:
        return False
    return OPERATORS[reader.operator].is_elementwise and reader.shape == node.shape
