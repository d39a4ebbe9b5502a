"""What a piece of work draws, by the device's own counters or meters; nothing is estimated in their place."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tidegate_drivers.catalog import discover
from tidegate_drivers.clocks import read_clocks
from tidegate_drivers.energy import PowerMeter
from tidegate_drivers.linux import power_supply
from tidegate_drivers.meters import meter as meters
from tidegate_drivers.reading import ENERGY, ENERGY_COUNTER, POWER, Provenance, Value
from tidegate_drivers.sensor import Discovery, NotRisenError, SensorError

_MEASURED = frozenset({Provenance.MEASURED, Provenance.MEASURED_PARTIAL})
_GAUGES = frozenset({power_supply.DRIVER, "macos"})
"""Drivers whose power is a battery's: averaged over half a minute or more, it tells no pieces of work apart."""

_COUNTED_S = 1.0
_POLL_S = 0.05
_JOIN_S = 5.0
_LAG_S = 2.0
_EXTERNAL_LAG_S = 10.0
"""Smart plugs publish every few seconds under load."""


class EnergyMeter(Protocol):
    """Joules of what `source` names, such as a processor or a board, not of one process.

    Work that lasts less than `least_s` is too short for it.
    """

    @property
    def source(self) -> str: ...

    @property
    def least_s(self) -> float: ...

    def begin(self) -> Callable[[], float | None]:
        """Measure from now on; what is returned ends it, and gives None when the meter failed or stood still."""

    def spent_j(self, work: Callable[[], object]) -> float | None:
        """Energy while `work` runs; None when the meter fails or stands still."""


@dataclass(frozen=True, slots=True)
class NoMeter:
    """Nothing on this device measures energy over seconds; `reason` is the drivers' own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter in joules. `read` may raise SensorError or OSError."""

    source: str
    read: Callable[[], Value]
    least_s: float = _COUNTED_S

    def begin(self) -> Callable[[], float | None]:
        """Read the counter; what is returned reads it again and gives its rise, or None as `spent_j`."""
        return partial(self._risen_j, self._read_j())

    def spent_j(self, work: Callable[[], object]) -> float | None:
        """The counter's rise while `work` runs; None when it fails or stands still."""
        end = self.begin()
        work()
        return end()

    def _risen_j(self, before: float | None) -> float | None:
        after = self._read_j()
        return after - before if before is not None and after is not None and after > before else None

    def _read_j(self) -> float | None:
        try:
            return float(self.read())
        except NotRisenError:
            return 0.0
        except (SensorError, OSError):
            return None


@dataclass(frozen=True, slots=True)
class Wattmeter:
    """A power meter, read beside the work. Its readings lag by up to `lag_s`. `read` may raise as a Counter's."""

    source: str
    read: Callable[[], Value]
    lag_s: float = _LAG_S

    @property
    def least_s(self) -> float:
        """As long again as the readings lag."""
        return 2 * self.lag_s

    def begin(self) -> Callable[[], float | None]:
        """Read from now on; what is returned ends it and gives duration times mean power after the lag.

        None when a reading was missing.
        """
        polled = _Polled(self.read, self.lag_s)
        began_at = time.monotonic()
        polled.start()

        def end() -> float | None:
            polled.stop()
            duration_s = time.monotonic() - began_at
            return None if polled.mean_w is None else polled.mean_w * duration_s

        return end

    def spent_j(self, work: Callable[[], object]) -> float | None:
        """The work's duration at the mean power after the lag; None when a reading was missing."""
        end = self.begin()
        try:
            work()
        finally:
            spent_j = end()
        return spent_j


class _Polled(threading.Thread):
    """Reads power until it is stopped; readings count from `lag_s` after the start."""

    def __init__(self, read: Callable[[], Value], lag_s: float) -> None:
        super().__init__(name="wattmeter", daemon=True)
        self._read = read
        self._lag_s = lag_s
        self._summed = PowerMeter()
        self._first_at = self._last_at = 0.0
        self._failed = False
        self._done = threading.Event()

    def stop(self) -> None:
        """A meter that hangs is no meter; its thread ends with its read."""
        self._done.set()
        self.join(_JOIN_S)
        self._failed |= self.is_alive()

    @property
    def mean_w(self) -> float | None:
        """None when a reading failed, or when there were too few."""
        span_s = self._last_at - self._first_at
        if self._failed or self._summed.gaps or span_s <= 0 or self._summed.energy_j <= 0:
            return None
        return self._summed.energy_j / span_s

    def run(self) -> None:
        """The thread's own."""
        ended = self._done.wait(self._lag_s)
        while not ended:
            try:
                power_w = float(self._read())
            except (SensorError, OSError):
                self._failed = True
                return
            now = read_clocks()
            self._summed.add(power_w, now)
            self._first_at = self._first_at or now.awake_s
            self._last_at = now.awake_s
            ended = self._done.wait(_POLL_S)


def find_energy_meter(meter: str | None = None) -> EnergyMeter | NoMeter:
    """An external `meter`, named as in agent.yaml, else a counter, else a power meter of this device."""
    # A chip on the board's bus answers at once; a plug or a UPS tells when it is its turn.
    lag_s = _LAG_S if meter is None or meter.startswith("hwmon:") else _EXTERNAL_LAG_S
    return energy_meter(discover(meter=meter), external_lag_s=lag_s)


def energy_meter(found: Iterable[Discovery], external_lag_s: float = _EXTERNAL_LAG_S) -> EnergyMeter | NoMeter:
    """The external meter if it tells a power, else the first that measures."""
    found = tuple(found)
    measuring = [
        (discovery.driver, sensor)
        for discovery in found
        for sensor in discovery.sensors
        if sensor.provenance in _MEASURED
    ]
    powers = [(driver, sensor) for driver, sensor in measuring if sensor.name == POWER and driver not in _GAUGES]
    for driver, sensor in powers:
        if driver == meters.DRIVER:
            return Wattmeter(sensor.source, sensor.read, external_lag_s)
    for _, sensor in measuring:
        if sensor.name == ENERGY:
            return Counter(sensor.source, sensor.read)
    for _, sensor in powers:
        return Wattmeter(sensor.source, sensor.read)
    reasons = [
        missing.reason for discovery in found for missing in discovery.unavailable if missing.name == ENERGY
    ]
    return NoMeter(reasons[0] if reasons else "no driver found an energy counter or power meter on this device")


def energy_meters(found: Iterable[Discovery]) -> dict[str, EnergyMeter]:
    """Every counter and power meter that measures seconds, by its source.

    They overlap (a package is part of the platform, and a plug sees all), so their sum means nothing.
    """
    meters_by_source: dict[str, EnergyMeter] = {}
    for discovery in found:
        measuring = [sensor for sensor in discovery.sensors if sensor.provenance in _MEASURED]
        counts = any(sensor.name == ENERGY for sensor in measuring)
        for sensor in measuring:
            if sensor.name == ENERGY:
                meter: EnergyMeter = Counter(sensor.source, sensor.read)
            elif sensor.name.startswith(f"{ENERGY_COUNTER}/") and not counts:
                # What `energy` is made of wraps, and `energy` minds that; the others count in 64 bits.
                instance = sensor.name.partition("/")[2]
                meter = Counter(f"{discovery.driver}/{instance}", sensor.read)
            elif sensor.name == POWER and not counts and discovery.driver not in _GAUGES:
                lag_s = _EXTERNAL_LAG_S if discovery.driver == meters.DRIVER else _LAG_S
                meter = Wattmeter(sensor.source, sensor.read, lag_s)
            else:
                continue
            meters_by_source.setdefault(meter.source, meter)
    return meters_by_source
