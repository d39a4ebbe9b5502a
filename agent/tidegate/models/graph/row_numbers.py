"""Which values of a network's input are numbers of a table's rows, and of how many rows. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidegate.models.graph.arguments import INPUT, Argument, Ref, Shape, Weight
from tidegate.models.graph.operator import Domain, Kind
from tidegate.models.graph.operators import EMBEDDING, OPERATORS
from tidegate.models.graph.segment import Node, Segment

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class RowNumbers:
    """`counts` (*input shape): the rows of the smallest table that a value picks one of, infinite for none."""

    counts: npt.NDArray[np.float32]

    @classmethod
    def of(cls, first: Segment, weight_shapes: Mapping[str, Shape]) -> Self | None:
        """Of a network's first segment; None where no value of its input gets to a table as it is.

        Numbers that are computed before they are looked up are not in it: engines take the nearest row there.
        """
        if all(node.operator != EMBEDDING for node in first.nodes):
            return None
        counts = np.full(first.input_shape, np.inf, np.float32)
        moved = {INPUT: np.arange(counts.size).reshape(1, *counts.shape)}
        for node in first.nodes:
            if node.operator == EMBEDDING:
                _note(counts, node, moved, weight_shapes)
            elif (places := _moved(node, moved)) is not None:
                moved[node.name] = places
        return cls(counts) if np.isfinite(counts).any() else None

    def trouble(self, batch: npt.NDArray[np.float32]) -> str | None:
        """What is wrong with the first value of a batch (samples, *input shape) that should be a row's number."""
        looked_up = np.isfinite(self.counts)
        right = (batch >= 0) & (batch < self.counts) & (batch == np.floor(batch))
        wrong = np.flatnonzero(looked_up & ~right)
        if not len(wrong):
            return None
        at = int(wrong[0])
        last = int(self.counts.flat[at % self.counts.size]) - 1
        found = f"value {at} is {batch.flat[at]:.9g}"
        return f"{found}; it picks a row of a table, allowed are whole numbers, 0 to {last}"


def _note(
    counts: npt.NDArray[np.float32],
    node: Node,
    moved: Mapping[str, Places],
    weight_shapes: Mapping[str, Shape],
) -> None:
    match node.args:
        case (Weight(table), Ref(numbers)) if numbers in moved:
            places = moved[numbers].ravel()
            counts.flat[places] = np.minimum(counts.flat[places], weight_shapes[table][0])


def _moved(node: Node, moved: Mapping[str, Places]) -> Places | None:
    """Where in the input a node's values are; None for a node that does more than move them."""
    given = node.args[0] if node.args else None
    if not isinstance(given, Ref) or given.ref not in moved or len({*node.operands}) != 1:
        return None
    places = moved[given.ref]
    rest: tuple[Argument, ...] = node.args[1:]
    operator = OPERATORS[node.operator]
    # Of those that copy, each rearranges by parameters that no other has.
    match operator.kind, tuple(parameter.domain for parameter in operator.parameters[1:]):
        case (Kind.VIEW, _) | (Kind.COPY, (Domain.SIZES,)):
            return places.reshape(1, *node.shape)
        case Kind.COPY, (Domain.ORDER,):
            order: Any = rest[0]
            return places.transpose(order)
        case Kind.COPY, (Domain.AXIS, Domain.AXIS):
            first, second = (_axis(axis) for axis in rest)
            return places.swapaxes(first, second)
        case Kind.COPY, (Domain.AXIS, Domain.START, Domain.END, Domain.STEP):
            axis, *ends = (_axis(value) for value in rest)
            chosen = [slice(None)] * places.ndim
            chosen[axis] = slice(*ends)
            return places[tuple(chosen)]
    return None


def _axis(argument: Argument) -> int:
    """An axis or a place along one. Raises TypeError for what the table of operators doesn't let in there."""
    if not isinstance(argument, int):
        raise TypeError(argument)
    return argument
