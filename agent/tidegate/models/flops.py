"""Counting floating point operations from shapes alone: a multiply and an add are two."""

import math
from collections.abc import Iterator, Mapping

from tidegate.models.graph import INPUT, Node, Ref, Segment

_WEIGHTED = frozenset({"aten.conv2d.default", "aten.linear.default"})
_TRANSPOSED = "aten.conv_transpose2d.input"
_PRODUCT = "aten.matmul.default"
_ATTENTION = "aten.scaled_dot_product_attention.default"

Shape = tuple[int, ...]


def segment_flops(segment: Segment, weight_shapes: Mapping[str, Shape]) -> int:
    """Operations for one sample of layers, attention and products, and of scales and shifts by weights.

    The last are small in a network and all there is in an affine stand-in. All else is left out.
    """
    shapes = {INPUT: segment.input_shape} | {node.name: node.shape for node in segment.nodes}
    return sum(_node_flops(node, shapes, weight_shapes) for node in segment.nodes)


def _node_flops(node: Node, shapes: Mapping[str, Shape], weight_shapes: Mapping[str, Shape]) -> int:
    weights = [weight_shapes[weight.weight] for weight in node.weights()]
    if node.operator in _WEIGHTED:
        positions = math.prod(node.shape[1:]) if len(weights[0]) == 4 else math.prod(node.shape[:-1])
        return 2 * math.prod(weights[0]) * positions
    if node.operator == _TRANSPOSED:
        given = next(_refs(node))
        return 2 * math.prod(weights[0]) * math.prod(shapes[given][1:])
    if node.operator == _PRODUCT:
        left = shapes[next(_refs(node))]
        return 2 * math.prod(node.shape) * left[-1]
    if node.operator == _ATTENTION:
        query, key, value = (shapes[ref] for ref in _refs(node))
        # Scores of every query against every key, then their mix of values.
        return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    if weights and node.operator in {"aten.mul.Tensor", "aten.add.Tensor"}:
        return math.prod(node.shape)
    return 0


def _refs(node: Node) -> Iterator[str]:
    return (argument.ref for argument in node.args[:3] if isinstance(argument, Ref))
