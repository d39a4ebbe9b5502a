"""Energy counters of an Apple chip without root, through zeus-apple-silicon (IOReport, a private interface).

Known: on macOS 27 the CPU's counter stays 0 in apps, and M5 chips move their counters only every 2 s.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from tidegate_drivers.clocks import Clocks, read_clocks
from tidegate_drivers.energy import CounterMeter
from tidegate_drivers.reading import ENERGY, POWER, Provenance, Unit
from tidegate_drivers.sensor import Discovery, NotRisenError, Sensor, SensorError, Unavailable

_DRIVER = "apple_counters"
_INTERVAL_S = 5.0


class Metrics(Protocol):
    """Cumulative energy in mJ by part; None where the chip has no such part."""

    cpu_total_mj: int | None
    gpu_mj: int | None
    ane_mj: int | None
    dram_mj: int | None


class ChipMeter:
    """Power and energy of the whole chip from its counters."""

    def __init__(self, read: Callable[[], Metrics], now: Callable[[], Clocks] = read_clocks) -> None:
        self._read = read
        self._now = now
        self._meter = CounterMeter(range_j=None)
        self._counted_j: float | None = None
        self._power_w: float | None = None

    def power_w(self) -> float:
        """Mean power over the last step of the counters. Raises SensorError."""
        self._refresh()
        if self._power_w is None:
            raise SensorError("power is the rise of counters between two reads, and they have not risen twice")
        return self._power_w

    def energy_j(self) -> float:
        """The energy since the first read. Raises SensorError."""
        self._refresh()
        if self._meter.energy_j == 0:
            raise NotRisenError("energy is the rise of counters since the first read, and they have not risen yet")
        return self._meter.energy_j

    def _refresh(self) -> None:
        metrics = self._read()
        if not metrics.cpu_total_mj:
            raise SensorError("the CPU's counter stays 0, as on macOS 27: the sum would leave it out")
        parts = (metrics.cpu_total_mj, metrics.gpu_mj, metrics.ane_mj, metrics.dram_mj)
        counted_j = sum(part for part in parts if part is not None) / 1000
        # Only when a counter moved: chips that batch them would show 0 and then double.
        if counted_j != self._counted_j:
            self._counted_j = counted_j
            self._power_w = self._meter.add(counted_j, self._now())


def discover() -> Discovery:
    """`power` and `energy` of the chip, with the extra `apple` installed on an Apple chip."""
    try:
        monitor = import_module("zeus_apple_silicon").AppleEnergyMonitor()
    except ImportError:
        return _refused("zeus-apple-silicon is not installed", "pip install 'tidegate[apple]'")
    except RuntimeError as error:  # how the library says that IOReport refused
        return _refused(str(error))
    meter = ChipMeter(monitor.get_cumulative_energy)
    partly = Provenance.MEASURED_PARTIAL
    return Discovery(
        _DRIVER,
        (
            Sensor(POWER, Unit.WATT, partly, _DRIVER, meter.power_w, _INTERVAL_S),
            Sensor(ENERGY, Unit.JOULE, partly, _DRIVER, meter.energy_j, _INTERVAL_S),
        ),
    )


def _refused(reason: str, grant: str = "") -> Discovery:
    unavailable = tuple(Unavailable(name, _DRIVER, reason, grant) for name in (POWER, ENERGY))
    return Discovery(_DRIVER, unavailable=unavailable)
