"""Counting floating point operations from shapes alone: a multiply and an add are two."""

import math
from collections.abc import Mapping

from agent.models.graph import Segment

_MULTIPLYING = frozenset({"aten.conv2d.default", "aten.linear.default"})

Shape = tuple[int, ...]


def segment_flops(segment: Segment, weight_shapes: Mapping[str, Shape]) -> int:
    """Operations of the convolutions and linear layers for one sample; all else is small beside them."""
    total = 0
    for node in segment.nodes:
        if node.operator in _MULTIPLYING:
            weight = weight_shapes[next(node.weights()).weight]
            positions = math.prod(node.shape[1:]) if len(weight) == 4 else math.prod(node.shape[:-1])
            total += 2 * math.prod(weight) * positions
    return total


def gate_flops(segment: Segment) -> int:
    """Operations of a mean over absolute values of one sample's input: one for the sign, one for the sum."""
    return 2 * math.prod(segment.input_shape)
