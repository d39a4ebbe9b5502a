"""Sensors: descriptors of what a driver can read, and what its discovery found or refused."""

from collections.abc import Callable
from dataclasses import dataclass

from drivers.reading import Provenance, Unit, Value


class SensorError(Exception):
    """A sensor has no value now; the message says why in the user's words."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """How to take one reading.

    `read` returns a float in `unit`, or a word for Unit.NAME, and raises SensorError (or OSError) when the
    facility has no value. `interval_s` is how often it is worth reading; `may_block` moves it to a thread of
    its own, so that a hanging source makes only its own readings stale.
    """

    name: str
    unit: Unit
    provenance: Provenance
    source: str
    read: Callable[[], Value]
    interval_s: float = 2.0
    may_block: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reading that this machine can't give now: why, and the command that would grant it (if one would)."""

    name: str
    source: str
    reason: str
    grant: str = ""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one driver found: sensors that work and refusals that say why not."""

    driver: str
    sensors: tuple[Sensor, ...] = ()
    refusals: tuple[Refusal, ...] = ()
