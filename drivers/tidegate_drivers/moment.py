"""The present moment on the clock that sleeps with the machine and on the one that doesn't."""

import time

from tidegate_drivers.energy import Moment

# macOS: CLOCK_UPTIME_RAW stands still in sleep and CLOCK_MONOTONIC does not; Linux: the reverse of the names.
_AWAKE = getattr(time, "CLOCK_UPTIME_RAW", time.CLOCK_MONOTONIC)
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def moment() -> Moment:
    """Now."""
    return Moment(time.clock_gettime(_AWAKE), time.clock_gettime(_BOOT))
