"""What quantizers want to know of a network before they choose their settings."""

from collections.abc import Iterator

from tidegate.models.graph import Node
from tidegate.models.graph.operator import Kind, Quantization
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.network import Network


def is_transformer(network: Network) -> bool:
    """Whether it multiplies values with values, as attention does."""
    return any(OPERATORS[node.operator].kind is Kind.PRODUCT for node in _nodes(network))


def only_clamps(network: Network) -> bool:
    """Whether all its activation functions only cut values off, as ReLU and ReLU6 do."""
    functions = [OPERATORS[node.operator] for node in _nodes(network)]
    return all(each.quantization is Quantization.CLAMP for each in functions if each.kind is Kind.ACTIVATION)


def _nodes(network: Network) -> Iterator[Node]:
    return (node for segment in network.segments for node in segment.nodes)
