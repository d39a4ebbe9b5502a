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
    shapes = shapes_of(segment, input_shape, weight_shapes)
    nodes = tuple(replace(node, shape=shapes[node.name]) for node in segment.nodes)
    return replace(segment, input_shape=input_shape, nodes=nodes)


def shapes_of(segment: Segment, input_shape: Shape, weight_shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Every node's shape per sample, by name. Raises BundleError naming a node that doesn't fit."""
    known: dict[str, Shape] = {INPUT: (BATCH, *input_shape)}
    for node in segment.nodes:
        try:
            known[node.name] = OPERATORS[node.operator].shape(node, Known(known, weight_shapes))
        except KeyError as error:
            raise BundleError(f"segment {segment.name}, node {node.name}: no weight is named {error}") from None
        except (ValueError, TypeError, IndexError, ArithmeticError) as error:
            reason = f"its arguments don't fit together: {error}"
            raise BundleError(f"segment {segment.name}, node {node.name}: {reason}") from None
    return {node.name: known[node.name][1:] for node in segment.nodes}
