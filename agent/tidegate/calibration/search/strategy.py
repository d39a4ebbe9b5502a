"""The two ways to seek a chain, and in which order the greedy one turns its knobs.

Which of the chains is certified is decided on part S, before anything has looked at part C.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate.calibration.search.moves import Move, PrecisionMove
from tidegate.calibration.search.search_space import SearchSpace

LEAST_LOSS = 0.01
"""Share of answers that may change while a chain begins: the least loss that is ever certified."""


class SearchStrategy(StrEnum):
    """How a chain goes on once precisions are down: one knob at a time, or exits alone, all of them jointly."""

    GREEDY = "greedy"
    CASCADE = "cascade"


@dataclass(frozen=True, slots=True)
class Phase:
    """What may be turned until which share of answers has changed."""

    space: SearchSpace
    limit: float
    kinds: tuple[type[Move], ...] = ()

    def is_past(self, moves: Sequence[Move | None]) -> bool:
        """Whether a chain of these moves has left the phase; never so for the last, that has no kinds."""
        return bool(self.kinds) and any(move is not None and not isinstance(move, self.kinds) for move in moves)


def phases_of(space: SearchSpace, limit: float) -> tuple[Phase, Phase]:
    """What a greedy search turns, phase by phase, down to where answers fall apart at the limit.

    Precisions come first, as far as they change hardly any answer: that gives points which answer with the whole
    model out of less memory, and what is skipped later is then chosen at the precision it runs in.
    """
    return Phase(space.precisions_only(), LEAST_LOSS, (PrecisionMove,)), Phase(space, limit)
