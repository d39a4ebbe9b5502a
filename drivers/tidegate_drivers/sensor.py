"""Sensors: descriptors of what a driver can read, and what its discovery found and what is unavailable."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from tidegate_drivers.reading import Provenance, Unit, Value
from tidegate_drivers.wake import Wake


class SensorError(Exception):
    """A sensor has no value now; the message says why in the user's words.

    `grant` is the command that would give this user a missing permission, empty where none is missing.
    """

    grant: str = ""


class NotRisenError(SensorError):
    """A counter that begins at 0 with its first read has not risen since: there is nothing to tell yet."""


class Cost(IntEnum):
    """What a read asks for; within a driver the cheap ones go first."""

    KERNEL = 0
    """The kernel answers from its memory: microseconds."""
    DEVICE = 1
    """A bus, an embedded controller or firmware answers: milliseconds, or it hangs."""
    PROCESS = 2
    """A child process is started: tens of milliseconds of CPU."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """How to take one reading.

    `read` returns a float in `unit`, or a word for Unit.NAME, and raises SensorError (or OSError) when the
    facility has no value. `interval_s` is how often it is worth reading. It may block: a hanging source makes
    only its own readings stale.
    """

    name: str
    unit: Unit
    provenance: Provenance
    source: str
    read: Callable[[], Value]
    interval_s: float = 2.0
    cost: Cost = Cost.KERNEL


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A reading that this machine can't give now: why, and the command that would grant it (if one would)."""

    name: str
    source: str
    reason: str
    grant: str = ""

    @property
    def words(self) -> str:
        """The reason, with what would grant it."""
        return with_grant(self.reason, self.grant)


def with_grant(reason: str, grant: str) -> str:
    """A reason with the command that would grant the missing permission, if one would."""
    return f"{reason}; to grant it: {grant}" if grant else reason


@dataclass(frozen=True, slots=True)
class WakeOn:
    """Where a driver hears at once that its readings changed; `topics` are those of the source that concern it.

    `open` raises OSError where there is no such source: the polls remain.
    """

    open: Callable[[], Wake]
    topics: frozenset[str]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one driver found: sensors that work, and what is unavailable and why.

    `again` looks anew, for devices that come and go; None where nothing can. It may block as long as a read.
    `stop` gives back what reading holds (a child process, a connection); reading ends with it.
    """

    driver: str
    sensors: tuple[Sensor, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()
    again: Callable[[], "Discovery"] | None = None
    wake_on: tuple[WakeOn, ...] = ()
    stop: Callable[[], None] | None = None
