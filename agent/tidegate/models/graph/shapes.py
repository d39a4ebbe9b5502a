"""The shapes of a segment's values on an input of another shape, by the rules of its operators. No torch here."""

from collections.abc import Mapping
from dataclasses import replace

from tidegate.models.errors import BundleError
from tidegate.models.graph import INPUT, Segment
from tidegate.models.graph.arguments import Shape
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.graph.shape_rules import BATCH, Known


def reshaped(segment: Segment, input_shape: Shape, weight_shapes: Mapping[str, Shape]) -> Segment:
    """The segment on an input of another shape, per sample. Raises BundleError naming a node that doesn't fit."""
    known: dict[str, Shape] = {INPUT: (BATCH, *input_shape)}
    nodes = []
    for node in segment.nodes:
        try:
            shape = OPERATORS[node.operator].shape(node, Known(known, weight_shapes))
            nodes.append(replace(node, shape=shape[1:]))
        except KeyError as error:
            raise BundleError(f"segment {segment.name}, node {node.name}: no weight is named {error}") from None
        except (ValueError, TypeError, IndexError) as error:
            raise BundleError(f"segment {segment.name}, node {node.name}: {error}") from None
        known[node.name] = shape
    return replace(segment, input_shape=input_shape, nodes=tuple(nodes))
