"""Power from the rise of one energy counter that the kernel extends to 64 bits, so that it doesn't wrap."""

from collections.abc import Callable

from tidegate_drivers.clocks import Clocks, read_clocks
from tidegate_drivers.energy import CounterMeter
from tidegate_drivers.sensor import SensorError

# Reads that are closer together measure the counter's own steps.
_LEAST_SPAN_S = 0.1


class CounterPower:
    """The mean power between two looks at a counter; outlasts one discovery, since one look can't tell a rise."""

    def __init__(self, now: Callable[[], Clocks] = read_clocks) -> None:
        self._now = now
        self._meter = CounterMeter(range_j=None)
        self._looked_at: Clocks | None = None
        self._power_w: float | None = None

    def watts(self, read_j: Callable[[], float]) -> float:
        """The power since the look before. Raises SensorError."""
        now = self._now()
        if self._looked_at is None or now.awake_s - self._looked_at.awake_s >= _LEAST_SPAN_S:
            self._power_w = self._meter.add(read_j(), now)
            self._looked_at = now
        if self._power_w is None:
            raise SensorError("power is the rise of a counter between two reads, and this was the first")
        if self._power_w == 0:
            raise SensorError("the energy counter does not move")
        return self._power_w
