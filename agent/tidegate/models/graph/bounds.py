"""The least and the largest value of every node of a segment, by the rules of its operators. No torch here."""

import math
from collections.abc import Mapping

from tidegate.models.graph import INPUT, Argument, BatchSize, Ref, Segment
from tidegate.models.graph.bound_rules import UNKNOWN, Bounds
from tidegate.models.graph.operators import OPERATORS


def bounds_of(segment: Segment, given: Bounds = UNKNOWN) -> Mapping[str, Bounds]:
    """The bounds of every node's value, by name; `given` are those of the segment's input."""
    found = {INPUT: given}

    def operand(argument: Argument) -> Bounds:
        match argument:
            case Ref(name):
                return found[name].sign
            case BatchSize():
                return Bounds(1.0)
            case bool() | int() | float():
                return Bounds(float(argument), float(argument))
            case _:
                return UNKNOWN

    for node in segment.nodes:
        found[node.name] = OPERATORS[node.operator].bounds(node, operand)
    return found


def least_values(segment: Segment) -> Mapping[str, float | None]:
    """The least value of every node, at most 0: AA-ReLU always keeps zero. None where nothing bounds it below."""
    return {
        name: None if math.isinf(bounds.low) else min(0.0, bounds.low)
        for name, bounds in bounds_of(segment).items()
    }
