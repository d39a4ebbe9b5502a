"""One driver's background work: reading its sensors in turn and looking for devices anew."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from tidegate_drivers.reading import Reading
from tidegate_drivers.sensor import Discovery, Sensor
from tidegate_drivers.take import Clock, take

READ_DEADLINE_S = 5.0
"""A read or a look that lasts longer keeps its thread; the rest of the driver goes on in a new one."""

_LONGEST_RETRY_S = 30.0
# Devices that come without an event: no netlink in a sandbox (PrivateNetwork), drivers that send none.
_LOOK_EVERY_S = 60.0
# A sensor that lost its value may have moved (hwmon indices change when a module is reloaded).
_LOOK_AFTER_LOSS_S = 5.0
# A battery's status can lag the plug by half a second.
_SECOND_LOOK_AFTER_S = 1.5


class Slot:
    """The latest reading of one sensor. Written by one thread and read by others: each field is replaced whole."""

    def __init__(self, sensor: Sensor, now: float) -> None:
        self.sensor = sensor
        self.due = now
        self.claimed = False
        self._asked_at: float | None = None
        self._failures = 0
        self._reading = Reading.unavailable(sensor.unit, now, sensor.source, "not read yet")

    def follow(self, sensor: Sensor) -> None:
        """Go on with a newly discovered sensor of the same name and source; the last reading stays until read."""
        self.sensor = sensor

    def refresh(self, clock: Clock) -> bool:
        """Read the sensor and set when it is due again: on its interval, or later the more often it fails.

        Returns whether a value was lost: there was one, and now there is none.
        """
        had_value = self._reading.value is not None
        self._asked_at = clock()
        self._reading = take(self.sensor, clock)
        self._asked_at = None
        self._failures = self._failures + 1 if self._reading.value is None else 0
        backoff = 2.0 ** min(max(0, self._failures - 1), 10)
        longest = max(self.sensor.interval_s, _LONGEST_RETRY_S)
        self.due = clock() + min(self.sensor.interval_s * backoff, longest)
        return had_value and self._reading.value is None

    def reading_at(self, now: float) -> Reading:
        """The latest reading; one that never came says for how long it has been asked for."""
        reading, asked_at = self._reading, self._asked_at
        if reading.value is None and asked_at is not None and now - asked_at > self.sensor.interval_s:
            reason = f"has not answered for {now - asked_at:.0f} s"
            return Reading.unavailable(reading.unit, reading.at, reading.source, reason)
        return reading


class Lane:
    """Reads one driver's sensors, each on its interval, and discovers anew now and then or when roused."""

    def __init__(self, found: Discovery, clock: Clock) -> None:
        self.found = found
        self._clock = clock
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = False
        self._shift = 0
        self._thread: threading.Thread | None = None
        self._working_since: float | None = None
        self._looking = False
        self._looks_owed = 0
        self._look_due = clock() + _LOOK_EVERY_S
        self._looked_at = clock()
        self._slots: tuple[Slot, ...] = tuple(Slot(sensor, clock()) for sensor in _cheap_first(found))

    def start(self) -> None:
        """Begin in a thread of its own; returns at once."""
        if self._slots or self.found.again is not None:
            self._start_shift()

    def rouse(self) -> None:
        """Something changed: look and read at once, and once more a moment later."""
        with self._lock:
            self._looks_owed = 2
            self._look_due = self._read_all_now()
        self._news.set()

    def relieve(self) -> None:
        """Leave a thread that hangs behind and go on with the rest in a new one."""
        since = self._working_since
        if since is not None and not self._stopping and self._clock() - since > READ_DEADLINE_S:
            self._working_since = None
            self._start_shift()

    def request_stop(self) -> None:
        """End soon; `join` waits for it."""
        self._stopping = True
        self._news.set()
        if self.found.stop is not None:
            self.found.stop()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread that is at work; one that hangs is left behind."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def readings_at(self, now: float) -> list[tuple[str, Reading]]:
        """A reading for every sensor."""
        return [(slot.sensor.name, slot.reading_at(now)) for slot in self._slots]

    def readings_of(self, name: str, now: float) -> list[Reading]:
        """The readings of one name only."""
        return [slot.reading_at(now) for slot in self._slots if slot.sensor.name == name]

    def _start_shift(self) -> None:
        with self._lock:
            self._shift += 1
            # A daemon: a thread that hangs in a device must not keep the process alive.
            self._thread = threading.Thread(
                target=self._run, args=(self._shift,), name=f"driver-{self.found.driver}", daemon=True
            )
        self._thread.start()

    def _run(self, shift: int) -> None:
        while shift == self._shift and not self._stopping:
            job = self._claim()
            if job is None:
                self._news.wait(self._idle_s())
                self._news.clear()
                continue
            self._working_since = self._clock()
            job()
            if shift == self._shift:
                self._working_since = None

    def _claim(self) -> Callable[[], None] | None:
        now = self._clock()
        with self._lock:
            if self.found.again is not None and not self._looking and self._look_due <= now:
                self._looking = True
                return partial(self._look, self.found.again)
            for slot in self._slots:
                if slot.due <= now and not slot.claimed:
                    slot.claimed = True
                    return partial(self._read, slot)
        return None

    def _idle_s(self) -> float | None:
        with self._lock:
            dues = [slot.due for slot in self._slots if not slot.claimed]
            if self.found.again is not None and not self._looking:
                dues.append(self._look_due)
        return max(0.0, min(dues) - self._clock()) if dues else None

    def _read(self, slot: Slot) -> None:
        lost = slot.refresh(self._clock)
        with self._lock:
            slot.claimed = False
            if lost:
                self._look_due = min(self._look_due, self._looked_at + _LOOK_AFTER_LOSS_S)
        self._news.set()

    def _look(self, again: Callable[[], Discovery]) -> None:
        # A driver's defect must cost neither the thread nor what was found before: that goes on being read.
        with suppress(Exception):
            self._adopt(again())
        with self._lock:
            self._looking = False
            self._looked_at = self._look_due = self._clock()
            if self._looks_owed == 1:
                self._read_all_now()
            self._looks_owed = max(0, self._looks_owed - 1)
            self._look_due += _SECOND_LOOK_AFTER_S if self._looks_owed else _LOOK_EVERY_S
        self._news.set()

    def _read_all_now(self) -> float:
        now = self._clock()
        for slot in self._slots:
            slot.due = now
        return now

    def _adopt(self, found: Discovery) -> None:
        now = self._clock()
        with self._lock:
            known = {(slot.sensor.name, slot.sensor.source): slot for slot in self._slots}
            slots: list[Slot] = []
            for sensor in _cheap_first(found):
                slot = known.get((sensor.name, sensor.source))
                if slot is None:
                    slot = Slot(sensor, now)
                else:
                    slot.follow(sensor)
                slots.append(slot)
            self._slots, self.found = tuple(slots), found


def _cheap_first(found: Discovery) -> list[Sensor]:
    # Stable, so that sensors of one cost keep the driver's order.
    return sorted(found.sensors, key=lambda sensor: sensor.cost)
