"""The energy drawn since the agent started, from whatever `power` reads, as a reading of its own."""

from collections.abc import Callable

from tidegate_drivers.clocks import Clocks, read_clocks
from tidegate_drivers.energy import PowerMeter
from tidegate_drivers.reading import Provenance, Reading, Unit

_MAX_AGE_S = 10.0


class EnergyAccount:
    """Books each new `power` reading once. `reading` stays None until two samples of one source have come."""

    def __init__(self, now: Callable[[], Clocks] = read_clocks) -> None:
        self.reading: Reading | None = None
        self._now = now
        self._meter = PowerMeter()
        self._last: Reading | None = None
        self._intervals = 0

    def add(self, power: Reading) -> None:
        """Book a reading of `power`; an unavailable one, or one of another source, opens a gap."""
        last, self._last = self._last, power
        if not isinstance(power.value, float) or (last is not None and last.source != power.source):
            self._meter.lose()
        if not isinstance(power.value, float) or (last is not None and last.at == power.at):
            return
        # Booked when noticed: the delay of up to a second evens out from one sample to the next.
        self._meter.add(power.value, self._now())
        self._intervals += 1
        if self._intervals < 2:
            return
        missing = f", {self._meter.gaps} gaps left out" if self._meter.gaps else ""
        self.reading = Reading(
            self._meter.energy_j,
            Unit.JOULE,
            power.at,
            Provenance.ESTIMATED,
            f"{power.source}, power over time{missing}",
            _MAX_AGE_S,
        )
