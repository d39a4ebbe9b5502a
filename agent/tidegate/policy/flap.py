"""What is remembered of rules that flap; flap_damping.py says when one does."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Flap:
    """Where one rule is in its flap, on the snapshot's clock (s); None for what has not come yet.

    `moved_at` is the last switch while it was in force, `down` its direction; `moved_c` is the temperature at the
    first of these switches, `hottest_c` the highest since. It first ended at `ended_at`, on `ended_on`; the point
    went back at `back_at`. `count` flaps are complete, the last at `flapped_at`.
    """

    moved_at: float | None = None
    down: bool = True
    moved_c: float | None = None
    hottest_c: float | None = None
    ended_at: float | None = None
    ended_on: str = ""
    back_at: float | None = None
    count: int = 0
    flapped_at: float | None = None


@dataclass(frozen=True, slots=True)
class HoldDown:
    """The point above which nothing is used because a rule flaps: from when until when, and after how many flaps.

    `rate_hz` and `source` are the load and the power source at its beginning.
    """

    rule: str
    point: str
    flaps: int
    since: float
    until: float
    rate_hz: float | None = None
    source: str | None = None

    @property
    def because(self) -> str:
        """Why, in words."""
        times = f"{self.flaps} times in a row"
        why = f"rule '{self.rule}' has ended and begun again {times} because of its own switches"
        return f"{why}, so {self.point} is kept"


@dataclass(frozen=True, slots=True)
class Flapping:
    """What is remembered of flaps, by rule: the rule that was in force, each rule's flap, and what is held down.

    `held` counts how often in a row each rule was held down.
    """

    in_force: str | None = None
    of: Mapping[str, Flap] = field(default_factory=dict)
    hold_downs: Mapping[str, HoldDown] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)


NO_FLAPPING = Flapping()
