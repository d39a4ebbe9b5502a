"""What was drawn between two points of a program, by every counter and power meter that the device has."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tidegate_drivers.catalog import discover
from tidegate_drivers.energy_meter import Counter, energy_meters
from tidegate_drivers.sensor import Discovery

# A processor's counter wraps after some minutes under full load at the soonest; one wrap between reads is seen.
_READ_COUNTERS_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """A window's length in s and its energy in J by source, None where that can't be known, never 0.

    Sources name what they measure, as `rapl/package-0` or `nvidia/0 NVIDIA H100 80GB HBM3`, and overlap: a package
    is part of the platform. A counter needs about a second to be exact, a power meter twice the time it lags.

    >>> Measurement(2.0, {"rapl/package-0": 31.5, "meter/plug": None}).mean_w("rapl/package-0")
    15.75
    """

    time_s: float
    energy_j: Mapping[str, float | None]

    def mean_w(self, source: str) -> float | None:
        """The mean power of a source in W, None where its energy is unknown. Raises KeyError for no source."""
        joules = self.energy_j[source]
        return None if joules is None else joules / self.time_s


@dataclass(frozen=True, slots=True)
class _Window:
    began_at: float
    ends: Mapping[str, Callable[[], float | None]]


class EnergyMonitor:
    """Energy windows on what `discoveries` hold, by default on this device's own.

    Windows have names, may overlap, and may be begun and ended in different threads.

    >>> from tidegate_drivers.testing import device_tree
    >>> with device_tree.laid_out("arc-desktop") as root:
    ...     monitor = EnergyMonitor(discover(root))
    ...     monitor.begin_window("inference")
    ...     (counter,) = [file for file in root.rglob("energy1_input") if "hwmon4" in file.parts]
    ...     _ = counter.write_text("512252500000")  # the card draws 2.5 J
    ...     measured = monitor.end_window("inference")
    >>> measured.energy_j["hwmon/xe/card"]
    2.5
    """

    def __init__(self, discoveries: Sequence[Discovery] | None = None) -> None:
        self._meters = energy_meters(discover() if discoveries is None else discoveries)
        self._open: dict[str, _Window] = {}
        self._lock = threading.Lock()
        self._all_ended = threading.Event()

    @property
    def sources(self) -> tuple[str, ...]:
        """What is measured here; empty where no driver finds a counter or a power meter."""
        return tuple(self._meters)

    def begin_window(self, name: str) -> None:
        """Begin to measure. Raises ValueError for a name that is open already."""
        with self._lock:
            if name in self._open:
                raise ValueError(f"the energy window {name!r} is open already")
            if not self._open:
                self._all_ended = threading.Event()
                threading.Thread(
                    target=self._keep_up, args=(self._all_ended,), name="energy-windows", daemon=True
                ).start()
            ends = {source: meter.begin() for source, meter in self._meters.items()}
            self._open[name] = _Window(time.monotonic(), ends)

    def end_window(self, name: str) -> Measurement:
        """End a window. Raises ValueError for a name that is not open."""
        with self._lock:
            window = self._open.pop(name, None)
            if window is None:
                raise ValueError(f"no energy window {name!r} is open")
            time_s = time.monotonic() - window.began_at
            energy_j = {source: end() for source, end in window.ends.items()}
            if not self._open:
                self._all_ended.set()
        return Measurement(time_s, energy_j)

    def _keep_up(self, all_ended: threading.Event) -> None:
        """Read the counters now and then while windows are open, so that none wraps twice unseen."""
        counters = [meter for meter in self._meters.values() if isinstance(meter, Counter)]
        while not all_ended.wait(_READ_COUNTERS_EVERY_S):
            with self._lock:
                for counter in counters:
                    counter.begin()


_of_this_device: EnergyMonitor | None = None
_first_use = threading.Lock()


def _monitor() -> EnergyMonitor:
    global _of_this_device  # noqa: PLW0603 - looking for the drivers takes up to seconds, once
    with _first_use:
        if _of_this_device is None:
            _of_this_device = EnergyMonitor()
        return _of_this_device


def begin_window(name: str) -> None:
    """Begin to measure this device's energy; the first use looks for its drivers, which takes up to 3 s.

    Raises ValueError for a name that is open already.

    >>> begin_window("warm-up")
    >>> measured = end_window("warm-up")
    >>> measured.time_s > 0
    True
    >>> all(joules is None or joules > 0 for joules in measured.energy_j.values())
    True
    """
    _monitor().begin_window(name)


def end_window(name: str) -> Measurement:
    """What this device drew since `begin_window(name)`. Raises ValueError for a name that is not open.

    >>> end_window("never begun")
    Traceback (most recent call last):
    ValueError: no energy window 'never begun' is open
    """
    return _monitor().end_window(name)
