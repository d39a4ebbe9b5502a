"""Reads sensors in the background and always has a snapshot ready: a hanging or failing one costs only itself."""

import math
import threading
import time
from collections.abc import Callable, Sequence

from drivers.reading import UNITS, Freshness, Provenance, Reading, Snapshot, Unit
from drivers.sensor import Discovery, Sensor, SensorError

Clock = Callable[[], float]

_LONGEST_RETRY_S = 30.0
_INTERVALS_TO_STALE = 3
# A busy machine delays a thread by seconds; that alone must not make its readings stale.
_LEAST_MAX_AGE_S = 5.0


def take(sensor: Sensor, clock: Clock = time.monotonic) -> Reading:
    """One reading now, in the calling thread; unavailable with the reason instead of any exception."""
    at = clock()
    try:
        value = sensor.read()
    except (SensorError, OSError) as error:
        return Reading.unavailable(sensor.unit, at, sensor.source, str(error))
    except Exception as error:  # noqa: BLE001  a driver's defect must cost its own reading, not the thread of others
        return Reading.unavailable(sensor.unit, at, sensor.source, f"defect in the driver: {error!r}")
    if isinstance(value, str) != (sensor.unit is Unit.NAME) or (
        not isinstance(value, str) and not math.isfinite(value)
    ):
        return Reading.unavailable(sensor.unit, at, sensor.source, f"defect in the driver: it gave {value!r}")
    kept = value if isinstance(value, str) else float(value)
    max_age_s = max(_LEAST_MAX_AGE_S, _INTERVALS_TO_STALE * sensor.interval_s)
    return Reading(kept, sensor.unit, at, sensor.provenance, sensor.source, max_age_s)


class Sampler:
    """Takes the readings of all discovered sensors, each on its interval.

    Where several discoveries offer a name, the first listed that has a fresh value wins: real before replay.
    """

    def __init__(self, discoveries: Sequence[Discovery], clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._refusals = [refusal for discovery in discoveries for refusal in discovery.refusals]
        slots_of = [[_Slot(sensor, clock()) for sensor in found.sensors] for found in discoveries]
        self._slots = [slot for slots in slots_of for slot in slots]
        self._lanes = [_Lane("sensors", [slot for slot in self._slots if not slot.sensor.may_block], clock)]
        for found, slots in zip(discoveries, slots_of, strict=True):
            blocking = [slot for slot in slots if slot.sensor.may_block]
            self._lanes.append(_Lane(f"sensors-{found.driver}", blocking, clock))

    def start(self) -> None:
        """Begin reading; returns at once."""
        for lane in self._lanes:
            lane.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End reading; a thread that hangs in a read is left behind when the timeout has passed."""
        for lane in self._lanes:
            lane.request_stop()
        deadline = time.monotonic() + timeout_s
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))

    def snapshot(self) -> Snapshot:
        """The latest reading of every name. Never blocks, never raises."""
        now = self._clock()
        candidates: dict[str, list[Reading]] = {}
        for slot in self._slots:
            candidates.setdefault(slot.sensor.name, []).append(slot.reading_at(now))
        for refusal in self._refusals:
            unit = UNITS.get(refusal.name, Unit.NAME)
            reading = Reading.unavailable(unit, now, refusal.source, refusal.reason)
            candidates.setdefault(refusal.name, []).append(reading)
        return Snapshot(now, {name: _best(name, readings, now) for name, readings in candidates.items()})


class _Slot:
    """The latest reading of one sensor. Written by one thread and read by others: each field is replaced whole."""

    def __init__(self, sensor: Sensor, now: float) -> None:
        self.sensor = sensor
        self.due = now
        self._asked_at: float | None = None
        self._failures = 0
        self._reading = Reading.unavailable(sensor.unit, now, sensor.source, "not read yet")

    def refresh(self, clock: Clock) -> None:
        """Read the sensor and set when it is due again: on its interval, or later the more often it fails."""
        self._asked_at = clock()
        self._reading = take(self.sensor, clock)
        self._asked_at = None
        self._failures = self._failures + 1 if self._reading.value is None else 0
        backoff = 2.0 ** min(max(0, self._failures - 1), 10)
        longest = max(self.sensor.interval_s, _LONGEST_RETRY_S)
        self.due = clock() + min(self.sensor.interval_s * backoff, longest)

    def reading_at(self, now: float) -> Reading:
        """The latest reading; one that never came says for how long it has been asked for."""
        reading, asked_at = self._reading, self._asked_at
        if reading.value is None and asked_at is not None and now - asked_at > self.sensor.interval_s:
            reason = f"has not answered for {now - asked_at:.0f} s"
            return Reading.unavailable(reading.unit, reading.at, reading.source, reason)
        return reading


class _Lane:
    """One background thread and the sensors that it reads in turn."""

    def __init__(self, name: str, slots: Sequence[_Slot], clock: Clock) -> None:
        self._slots = slots
        self._clock = clock
        self._stopping = threading.Event()
        # A daemon: a thread that hangs in a device must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        if self._slots:
            self._thread.start()

    def request_stop(self) -> None:
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            for slot in self._slots:
                if slot.due <= self._clock() and not self._stopping.is_set():
                    slot.refresh(self._clock)
            next_due = min(slot.due for slot in self._slots)
            self._stopping.wait(max(0.0, next_due - self._clock()))


def _best(name: str, readings: Sequence[Reading], now: float) -> Reading:
    fresh = (reading for reading in readings if Snapshot(now, {name: reading}).freshness(name) is Freshness.FRESH)
    valued = (reading for reading in readings if reading.provenance is not Provenance.UNAVAILABLE)
    return next(fresh, None) or next(valued, None) or readings[0]
