"""The device's own energy counter, where a driver has one; nothing is estimated in its place."""

from collections.abc import Callable
from dataclasses import dataclass

from drivers.catalog import discover_all
from drivers.reading import ENERGY, Provenance, Value
from drivers.sensor import SensorError

_COUNTED = frozenset({Provenance.MEASURED, Provenance.MEASURED_PARTIAL})


@dataclass(frozen=True, slots=True)
class NoMeter:
    """This device has no counter that may be read; `reason` is the drivers' own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Meter:
    """Joules of what `source` names, such as a processor, not of one process. `read` may raise SensorError."""

    source: str
    read: Callable[[], Value]

    def spent_j(self, work: Callable[[], object]) -> float | None:
        """Energy while `work` runs; None when the counter fails or stands still."""
        try:
            before = float(self.read())
        except SensorError:
            # The drivers count from their first read on, and say so instead of 0.
            before = 0.0
        work()
        try:
            spent = float(self.read()) - before
        except SensorError:
            return None
        return spent if spent > 0 else None


def find_meter() -> Meter | NoMeter:
    """The first working counter of any driver."""
    found = discover_all()
    for discovery in found:
        for sensor in discovery.sensors:
            if sensor.name == ENERGY and sensor.provenance in _COUNTED:
                return Meter(sensor.source, sensor.read)
    reasons = [refusal.reason for discovery in found for refusal in discovery.refusals if refusal.name == ENERGY]
    return NoMeter(reasons[0] if reasons else "no driver found an energy counter on this device")
