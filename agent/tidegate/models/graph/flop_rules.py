"""Floating point operations of an operator for one sample, from shapes alone: a multiply and an add are two."""

import math
from collections.abc import Callable

from tidegate.models.graph.arguments import Call, Weight
from tidegate.models.graph.shape_rules import Known

FlopRule = Callable[[Call, Known], int]
"""Shapes are those of one sample, with the batch axis in its place."""


def none(_: Call, __: Known) -> int:
    """Too few beside the layers to be counted."""
    return 0


def layer(call: Call, known: Known) -> int:
    """Every weight at every position of the result."""
    weight = known.of(call.args[1])
    positions = math.prod(call.shape[1:]) if len(weight) == 4 else math.prod(call.shape[:-1])
    return 2 * math.prod(weight) * positions


def transposed_convolution(call: Call, known: Known) -> int:
    """Every weight at every position of the input."""
    _, _, *sizes = known.of(call.args[0])
    return 2 * math.prod(known.of(call.args[1])) * math.prod(sizes)


def matmul(call: Call, known: Known) -> int:
    """A sum over the inner axis for every value of the result."""
    return 2 * math.prod(call.shape) * known.of(call.args[0])[-1]


def attention(call: Call, known: Known) -> int:
    """Scores of every query against every key, then their mix of values."""
    query, key, value = (known.of(argument) for argument in call.args[:3])
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def by_weights(call: Call, _: Known) -> int:
    """One per value where a weight is among the arguments: all that an affine stand-in computes."""
    has_weight = any(isinstance(leaf, Weight) for leaf in call.leaves)
    return math.prod(call.shape) if has_weight else 0
