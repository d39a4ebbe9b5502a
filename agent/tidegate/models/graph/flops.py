"""Counting the floating point operations of a segment from shapes alone."""

from collections.abc import Mapping

from tidegate.models.graph import INPUT, Segment
from tidegate.models.graph.arguments import Shape
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.graph.shape_rules import BATCH, Known


def segment_flops(segment: Segment, weight_shapes: Mapping[str, Shape]) -> int:
    """Operations for one sample of layers, attention and products, and of scales and shifts by weights.

    The last are small in a network and all there is in an affine stand-in. All else is left out.
    """
    known = _known(segment, weight_shapes)
    return sum(OPERATORS[node.operator].flops(node, known) for node in segment.nodes)


def layer_flops(segment: Segment, weight_shapes: Mapping[str, Shape]) -> Mapping[str, int]:
    """Of each layer with weights, the same."""
    known = _known(segment, weight_shapes)
    found: dict[str, int] = {}
    for node in segment.nodes:
        if node.layer is not None:
            found[node.layer] = found.get(node.layer, 0) + OPERATORS[node.operator].flops(node, known)
    return found


def _known(segment: Segment, weight_shapes: Mapping[str, Shape]) -> Known:
    shapes = {INPUT: (BATCH, *segment.input_shape)}
    shapes |= {node.name: (BATCH, *node.shape) for node in segment.nodes}
    return Known(shapes, weight_shapes)
