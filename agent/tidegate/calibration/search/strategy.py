"""In which order a chain turns its knobs.

A greedy search is led by its first steps. Leaving early loses the least on most networks but saves no memory, so
one course turns every knob from the start, and another begins with exits alone. Which of the chains is certified
is decided on part S, before anything has looked at part C.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate.calibration.search.moves import ExitMove, Menu, Move, PrecisionMove

LEAST_LOSS = 0.01
"""Share of answers that may change while a chain begins: the least loss that is ever certified."""


class Course(StrEnum):
    """What follows the precisions."""

    ALL_AT_ONCE = "all at once"
    EXITS_FIRST = "exits first"


def courses_for(menu: Menu) -> tuple[Course, ...]:
    """The courses that differ."""
    return tuple(Course) if menu.exits else (Course.ALL_AT_ONCE,)


@dataclass(frozen=True, slots=True)
class Phase:
    """What may be turned until which share of answers has changed."""

    menu: Menu
    limit: float
    kinds: tuple[type[Move], ...] = ()

    def is_past(self, moves: Sequence[Move | None]) -> bool:
        """Whether a chain of these moves has left the phase; never so for the last, that has no kinds."""
        return bool(self.kinds) and any(move is not None and not isinstance(move, self.kinds) for move in moves)


def phases_of(course: Course, menu: Menu, limit: float) -> tuple[Phase, ...]:
    """What a course turns, phase by phase, down to where answers fall apart at the limit.

    Precisions come first, as far as they change hardly any answer: that gives points which answer with the whole
    model out of less memory, and what is skipped later is then chosen at the precision it runs in.
    """
    precisions = Phase(menu.precisions_only(), LEAST_LOSS, (PrecisionMove,))
    exits = Phase(menu.exits_only(), LEAST_LOSS, (PrecisionMove, ExitMove))
    everything = Phase(menu, limit)
    return (precisions, everything) if course is Course.ALL_AT_ONCE else (precisions, exits, everything)
