"""What is remembered of rules that undo themselves; turns.py says when."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Turn:
    """Where one rule is in its turn, on the snapshot's clock (s); None for what has not come yet.

    `moved_at` is the last switch while it was in force, `down` its direction; `moved_c` is the temperature at the
    first of these switches, `hottest_c` the highest since. It first ended at `ended_at`, on `ended_on`; the point
    went back at `back_at`. `count` turns are complete, the last at `turned_at`.
    """

    moved_at: float | None = None
    down: bool = True
    moved_c: float | None = None
    hottest_c: float | None = None
    ended_at: float | None = None
    ended_on: str = ""
    back_at: float | None = None
    count: int = 0
    turned_at: float | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """The point above which nothing is used because a rule undoes itself: from when until when, and for what.

    `rate_hz` and `source` are the load and the power source at its beginning.
    """

    rule: str
    point: str
    turns: int
    since: float
    until: float
    rate_hz: float | None = None
    source: str | None = None

    @property
    def because(self) -> str:
        """Why, in words."""
        times = f"{self.turns} times in a row"
        why = f"rule '{self.rule}' has ended and begun again {times} because of its own switches"
        return f"{why}, so {self.point} is kept"


@dataclass(frozen=True, slots=True)
class Turns:
    """What is remembered of turns: the rule that was in force, each rule's turn, and what is kept meanwhile.

    `kept` counts how often in a row each rule made a point be kept.
    """

    in_force: str | None = None
    of: Mapping[str, Turn] = field(default_factory=dict)
    keeps: Mapping[str, Keep] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)


NO_TURNS = Turns()
