"""How busy others kept this machine meanwhile: what is measured beside them says little about a calmer day."""

import os
import resource
import time

import psutil

BUSY = 0.25
"""Share of all processors' time, used by others, from which times are not to be believed for good."""


class OtherLoad:
    """From its making on."""

    def __init__(self) -> None:
        self._began = _now()

    def share(self) -> float:
        """Share of all processors' time since then that others used: not this process, not its ended children."""
        wall_s, busy_s, own_s = (now - then for now, then in zip(_now(), self._began, strict=True))
        processors = os.cpu_count() or 1
        return min(1.0, max(0.0, busy_s - own_s) / (wall_s * processors)) if wall_s > 0 else 0.0


def _now() -> tuple[float, float, float]:
    times = psutil.cpu_times()
    # The fields differ between systems; guests are counted in user, and waiting for a disk is no work.
    idle = ("idle", "iowait", "guest", "guest_nice")
    busy_s = sum(value for name, value in times._asdict().items() if name not in idle)
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.monotonic(), busy_s, sum(used.ru_utime + used.ru_stime for used in own)
