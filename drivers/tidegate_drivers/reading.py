"""Readings: one value with unit, time and provenance; and snapshots of all of them at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Value = float | str


class Unit(StrEnum):
    """The unit of a reading's value; the value of a NAME reading is one of a few words."""

    PERCENT = "%"
    CELSIUS = "C"
    WATT = "W"
    BYTE = "B"
    HERTZ = "Hz"
    VOLT = "V"
    AMPERE = "A"
    JOULE = "J"
    WATT_HOUR = "Wh"
    RPM = "rpm"
    COUNT = "count"
    MILLISECOND = "ms"
    SECOND = "s"
    NAME = ""


class Provenance(StrEnum):
    """How a value came to be."""

    MEASURED = "measured"
    MEASURED_PARTIAL = "measured_partial"
    ESTIMATED = "estimated"
    UNAVAILABLE = "unavailable"


class Freshness(StrEnum):
    """Whether a reading may be acted on."""

    FRESH = "fresh"
    STALE = "stale"
    UNAVAILABLE = "unavailable"


BATTERY = "battery"
POWER_SOURCE = "power_source"
POWER = "power"
TEMPERATURE = "temperature"
THERMAL_PRESSURE = "thermal_pressure"
THROTTLED = "throttled"
"""Whether the platform has slowed the chip down by itself: `yes` or `no`."""
MEMORY_AVAILABLE = "memory_available"
MEMORY_PRESSURE = "memory_pressure"
CPU = "cpu"
ENERGY = "energy"
"""Joules since the drivers started; a fact for telemetry, not one that policies know."""
ENERGY_COUNTER = "energy_counter"
"""With `/instance`: a counter of the hardware in joules, from wherever it began."""
BATTERY_STATE = "battery_state"
"""One of BATTERY_STATES; like the following, a fact for telemetry."""
BATTERY_ENERGY = "battery_energy"
"""What the batteries hold now, in Wh."""
BATTERY_HEALTH = "battery_health"
"""What they hold when full over what they were made for, in %."""
BATTERY_CYCLES = "battery_cycles"
BATTERY_LEVEL = "battery_level"
"""How full a battery is in words, `critical` to `full`: all that some drivers know."""

UNITS: Mapping[str, Unit] = {
    BATTERY: Unit.PERCENT,
    POWER_SOURCE: Unit.NAME,
    POWER: Unit.WATT,
    TEMPERATURE: Unit.CELSIUS,
    THERMAL_PRESSURE: Unit.NAME,
    THROTTLED: Unit.NAME,
    MEMORY_AVAILABLE: Unit.BYTE,
    MEMORY_PRESSURE: Unit.PERCENT,
    CPU: Unit.PERCENT,
}
"""The readings that policies know by name. A driver may add its own as `name/instance`."""

POWER_SOURCES = ("battery", "external")
BATTERY_STATES = ("charging", "discharging", "full", "not charging")
THERMAL_PRESSURES = ("nominal", "fair", "serious", "critical")


@dataclass(frozen=True, slots=True)
class Reading:
    """One value at one moment; `value` is None exactly when provenance is UNAVAILABLE, and `reason` says why.

    `at` is in seconds on the clock of whoever took the snapshot (monotonic). `source` names the facility,
    for example `power_supply/BAT0` or `replay/solar-day`.
    """

    value: Value | None
    unit: Unit
    at: float
    provenance: Provenance
    source: str
    max_age_s: float = 10.0
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != (self.provenance is Provenance.UNAVAILABLE):
            raise ValueError(f"{self.source}: a reading has a value or is unavailable, never both or neither")

    @classmethod
    def unavailable(cls, unit: Unit, at: float, source: str, reason: str) -> "Reading":
        """A reading that could not be taken, with the reason."""
        return cls(None, unit, at, Provenance.UNAVAILABLE, source, reason=reason)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All readings at one moment `at`, in the same clock as the readings' own `at`."""

    at: float
    readings: Mapping[str, Reading] = field(default_factory=dict)

    def freshness(self, name: str) -> Freshness:
        """Whether the reading may be acted on at this snapshot's moment."""
        reading = self.readings.get(name)
        if reading is None or reading.value is None:
            return Freshness.UNAVAILABLE
        return Freshness.STALE if self.at - reading.at > reading.max_age_s else Freshness.FRESH

    def number(self, name: str) -> float | None:
        """The reading's value if it is a fresh number, else None."""
        value = self._fresh(name)
        return value if isinstance(value, float) else None

    def word(self, name: str) -> str | None:
        """The reading's value if it is a fresh word, else None."""
        value = self._fresh(name)
        return value if isinstance(value, str) else None

    def _fresh(self, name: str) -> Value | None:
        return self.readings[name].value if self.freshness(name) is Freshness.FRESH else None
