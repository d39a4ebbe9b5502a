"""The machine's clocks: what a reading is dated by, and the pair that shows whether the machine slept."""

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds on a clock that never steps back, such as `time.monotonic`."""

# macOS: CLOCK_UPTIME_RAW stands still in sleep and CLOCK_MONOTONIC does not; Linux: the reverse of the names.
_AWAKE = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Two clocks read together, in seconds: one stands still while the machine sleeps, the other goes on."""

    awake_s: float
    boot_s: float

    def slept_since(self, before: "Clocks") -> bool:
        """Whether the machine was suspended in between."""
        # Reading the two clocks takes two calls, which a busy machine can pull apart.
        return (self.boot_s - before.boot_s) - (self.awake_s - before.awake_s) > 0.5


def read_clocks() -> Clocks:
    """Both clocks now."""
    return Clocks(time.clock_gettime(_AWAKE), time.clock_gettime(_BOOT))
