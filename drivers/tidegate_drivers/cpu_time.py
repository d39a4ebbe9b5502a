"""CPU utilisation from cumulated times: the one piece of arithmetic that every platform shares."""

from tidegate_drivers.sensor import SensorError


class CpuTime:
    """Utilisation in % since the previous call, from cumulated idle and total time in any one unit."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def percent_since_last(self, idle: float, total: float) -> float:
        """The busy share of all cores, 0 to 100. Raises SensorError when there is no span to speak of."""
        before, self._before = self._before, (idle, total)
        if before is None:
            raise SensorError("utilisation needs two reads, and this was the first")
        idled, passed = idle - before[0], total - before[1]
        if passed == 0:
            raise SensorError("CPU times have not moved between two reads, as in a captured tree")
        # The kernel's counters do step back, iowait always a little and idle when a core goes offline.
        if passed < 0 or not 0 <= idled <= passed:
            raise SensorError(
                f"CPU times went from {before[1]:g} to {total:g} with {idled:g} idle: no share in that"
            )
        return 100.0 * (1.0 - idled / passed)
