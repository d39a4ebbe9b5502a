"""The device's own energy counter, where a driver has one; nothing is estimated in its place."""

from collections.abc import Callable
from dataclasses import dataclass

from drivers.catalog import discover_all
from drivers.reading import Provenance
from drivers.sensor import SensorError

ENERGY = "energy"
"""The drivers' name for joules since the first read, of all counters that are no part of another."""


@dataclass(frozen=True, slots=True)
class NoMeter:
    """This device has no counter that may be read; `reason` is the drivers' own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Meter:
    """Joules of the whole device part that `source` names, not of one process."""

    source: str
    read_j: Callable[[], float]

    def spent_j(self, work: Callable[[], object]) -> float | None:
        """Energy while `work` runs; None when the counter fails or stands still."""
        try:
            before = self.read_j()
        except SensorError:
            before = 0.0
        work()
        try:
            spent = self.read_j() - before
        except SensorError:
            return None
        return spent if spent > 0 else None


def find_meter() -> Meter | NoMeter:
    """The first working counter of any driver."""
    found = discover_all()
    for discovery in found:
        for sensor in discovery.sensors:
            if sensor.name == ENERGY and sensor.provenance is Provenance.MEASURED:
                return Meter(sensor.source, lambda read=sensor.read: float(read()))  # type: ignore[misc]  # mypy can't infer a lambda with a default
    reasons = [refusal.reason for discovery in found for refusal in discovery.refusals if refusal.name == ENERGY]
    return NoMeter(reasons[0] if reasons else "no driver found an energy counter on this device")
