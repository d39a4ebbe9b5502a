"""The share of time that a device was at work, from a counter of busy or of idle time."""

import time
from collections.abc import Callable

from tidegate_drivers.clocks import Clock
from tidegate_drivers.sensor import SensorError

# Drivers count in steps of a job or of a millisecond: a shorter span measures those.
_LEAST_SPAN_S = 0.1
# The counter and our clock are read one after the other.
_SLACK = 1.05


class BusyShare:
    """Utilisation in % between two looks at a counter; outlasts one discovery: one look can't tell a rise."""

    def __init__(self, *, counts_idle: bool, clock: Clock = time.monotonic) -> None:
        self._counts_idle = counts_idle
        self._clock = clock
        self._last: tuple[float, float] | None = None
        self._percent: float | None = None
        self._has_risen = False

    def percent(self, read_s: Callable[[], float]) -> float:
        """The busy share since the look before, 0 to 100. Raises SensorError, always at first."""
        now = self._clock()
        if self._last is None or now - self._last[1] >= _LEAST_SPAN_S:
            last, self._last = self._last, None  # a look that fails parts what was counted before and after
            counted_s = read_s()
            self._last = counted_s, now
            self._percent = None if last is None else self._share(counted_s - last[0], now - last[1])
        if self._percent is None:
            raise SensorError("load is the rise of a counter between two reads, and this was the first")
        return self._percent

    def _share(self, risen_s: float, elapsed_s: float) -> float:
        if not 0 <= risen_s <= elapsed_s * _SLACK:
            raise SensorError(f"a counter of time rose by {risen_s:g} s within {elapsed_s:g} s")
        # Wholly idle, wholly busy, or a file that nobody counts in, as in a captured tree: known once it rose.
        self._has_risen = self._has_risen or risen_s > 0
        if not self._has_risen:
            raise SensorError("the counter of its time has not risen yet, and may be one that stands still")
        percent = min(100.0, 100.0 * risen_s / elapsed_s)
        return 100.0 - percent if self._counts_idle else percent
