"""The system's own sleep: asked for when the policy sleeps until a moment, and noticed whoever asked for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.policy.sleep import Sleeping
from tidegate_drivers.clocks import Clocks, read_clocks

SHORTEST_S = 120.0
"""It is not worth suspending for less."""
AGAIN_S = 600.0
"""After one that was ended early, by a lid for example, whoever did it is given this long."""
CLOCK_OFF_S = 60.0
"""A clock that is further from what the time since boot makes of it is not right, or was not before."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The system was suspended for this long; `clock_off_s` is by how much the clock disagrees with that."""

    suspended_s: float
    clock_off_s: float

    def in_words(self) -> str:
        """For a person, with what is wrong with the clock."""
        said = f"the system was suspended for {self.suspended_s:.0f} s"
        if abs(self.clock_off_s) <= CLOCK_OFF_S:
            return said
        way = "ahead of" if self.clock_off_s > 0 else "behind"
        off = f"the clock is {abs(self.clock_off_s):.0f} s {way} that: times of day are wrong until NTP has set it"
        return f"{said}; {off}"


@dataclass(frozen=True, slots=True)
class Now:
    """The clocks at one moment; `unix_s` is what the wall clock shows."""

    clocks: Clocks
    unix_s: float


def read_now() -> Now:
    """As the machine's clocks are."""
    return Now(read_clocks(), time.time())


def resumed(before: Now, now: Now) -> Resumed | None:
    """What lies between two moments, if the system was suspended in between."""
    if not now.clocks.slept_since(before.clocks):
        return None
    passed_s = now.clocks.boot_s - before.clocks.boot_s
    suspended_s = passed_s - (now.clocks.awake_s - before.clocks.awake_s)
    return Resumed(suspended_s, now.unix_s - before.unix_s - passed_s)


@dataclass(frozen=True, slots=True)
class Suspension:
    """When the system is to be suspended next. Pure: `after` gives what it is then.

    `given_up` is the sleep that could not be had. What was asked for last ends at `until_s` (Unix time);
    if it ended early, none is due before `not_before_s` on the clock of the time awake.
    """

    given_up: Sleeping | None = None
    not_before_s: float = 0.0
    until_s: float = 0.0

    def due(self, sleeping: Sleeping | None, now: Now) -> bool:
        """Whether to suspend the system now, for a sleep that nothing but the time ends."""
        if sleeping is None or not sleeping.alone or sleeping.wake_at is None:
            return False
        early = now.unix_s < self.until_s and now.clocks.awake_s < self.not_before_s
        if sleeping == self.given_up or early:
            return False
        return sleeping.wake_at.timestamp() - now.unix_s >= SHORTEST_S

    def asked(self, now: Now, until: datetime) -> "Suspension":
        """After it was asked for: not again at once, in case it ends early."""
        return replace(self, not_before_s=now.clocks.awake_s + AGAIN_S, until_s=until.timestamp())

    def failed(self, sleeping: Sleeping) -> "Suspension":
        """After it could not be had: not for this sleep again."""
        return replace(self, given_up=sleeping)


Read = Callable[[], Now]
