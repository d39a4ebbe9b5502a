"""One driver's background work: reading its sensors in turn and looking for devices anew."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from tidegate_drivers.clocks import Clock
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Reading, Value
from tidegate_drivers.sensor import Discovery, Sensor

READ_DEADLINE_S = 5.0
"""A read or a discovery that lasts longer keeps its thread; the rest of the driver goes on in a new one."""

_LONGEST_RETRY_S = 30.0
# Devices that come without an event: no netlink in a sandbox (PrivateNetwork), drivers that send none.
_DISCOVER_EVERY_S = 60.0
# A sensor that lost its value may have moved (hwmon indices change when a module is reloaded).
_DISCOVER_AFTER_LOSS_S = 5.0
# A battery's status can lag the plug by half a second.
_SECOND_DISCOVERY_AFTER_S = 1.5


class PolledSensor:
    """The latest reading of one sensor. Written by one thread and read by others: each field is replaced whole."""

    def __init__(self, sensor: Sensor, now: float) -> None:
        self.sensor = sensor
        self.due = now
        self.claimed = False
        self._asked_at: float | None = None
        self._failures = 0
        self._reading = Reading.unavailable(sensor.unit, now, sensor.source, "not read yet")

    @property
    def value(self) -> Value | None:
        """The latest value, however old."""
        return self._reading.value

    def follow(self, sensor: Sensor) -> None:
        """Go on with a newly discovered sensor of the same name and source; the last reading stays until read."""
        self.sensor = sensor

    def refresh(self, clock: Clock) -> bool:
        """Read the sensor and set when it is due again: on its interval, or later the more often it fails.

        Returns whether a value was lost: there was one, and now there is none.
        """
        had_value = self._reading.value is not None
        self._asked_at = clock()
        self._reading = read_sensor(self.sensor, clock)
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


class DriverPoller:
    """Reads one driver's sensors, each on its interval, and discovers anew now and then or when told to.

    `on_read` hears of each read in its thread: the sensor's name, and whether its value is another one now.
    """

    def __init__(
        self, found: Discovery, clock: Clock, on_read: Callable[[str, bool], None] = lambda _name, _changed: None
    ) -> None:
        self.found = found
        self._clock = clock
        self._on_read = on_read
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stopping = False
        self._thread_number = 0
        self._thread: threading.Thread | None = None
        self._working_since: float | None = None
        self._discovering = False
        self._discoveries_left = 0
        self._discovery_due = clock() + _DISCOVER_EVERY_S
        self._discovered_at = clock()
        self._polled = tuple(PolledSensor(sensor, clock()) for sensor in _cheap_first(found))

    def start(self) -> None:
        """Begin in a thread of its own; returns at once."""
        if self._polled or self.found.again is not None:
            self._start_thread()

    def poll_now(self) -> None:
        """Something changed: discover and read at once, and once more a moment later."""
        with self._lock:
            self._discoveries_left = 2
            self._discovery_due = self._read_all_now()
        self._changed.set()

    def replace_hung_thread(self) -> None:
        """Leave a thread that hangs behind and go on with the rest in a new one."""
        since = self._working_since
        if since is not None and not self._stopping and self._clock() - since > READ_DEADLINE_S:
            self._working_since = None
            self._start_thread()

    def request_stop(self) -> None:
        """End soon; `join` waits for it."""
        self._stopping = True
        self._changed.set()
        if self.found.stop is not None:
            self.found.stop()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread that is at work; one that hangs is left behind."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def readings_at(self, now: float) -> list[tuple[str, Reading]]:
        """Name and latest reading of every sensor; reads nothing."""
        return [(each.sensor.name, each.reading_at(now)) for each in self._polled]

    def readings_of(self, name: str, now: float) -> list[Reading]:
        """The readings of one name only."""
        return [each.reading_at(now) for each in self._polled if each.sensor.name == name]

    def _start_thread(self) -> None:
        with self._lock:
            self._thread_number += 1
            # A daemon: a thread that hangs in a device must not keep the process alive.
            self._thread = threading.Thread(
                target=self._run, args=(self._thread_number,), name=f"driver-{self.found.driver}", daemon=True
            )
        self._thread.start()

    def _run(self, number: int) -> None:
        while number == self._thread_number and not self._stopping:
            job = self._next_job()
            if job is None:
                self._changed.wait(self._until_next_job_s())
                self._changed.clear()
                continue
            self._working_since = self._clock()
            job()
            if number == self._thread_number:
                self._working_since = None

    def _next_job(self) -> Callable[[], None] | None:
        now = self._clock()
        with self._lock:
            if self.found.again is not None and not self._discovering and self._discovery_due <= now:
                self._discovering = True
                return partial(self._discover, self.found.again)
            for each in self._polled:
                if each.due <= now and not each.claimed:
                    each.claimed = True
                    return partial(self._read, each)
        return None

    def _until_next_job_s(self) -> float | None:
        with self._lock:
            due_times = [each.due for each in self._polled if not each.claimed]
            if self.found.again is not None and not self._discovering:
                due_times.append(self._discovery_due)
        return max(0.0, min(due_times) - self._clock()) if due_times else None

    def _read(self, polled: PolledSensor) -> None:
        before = polled.value
        lost = polled.refresh(self._clock)
        with self._lock:
            polled.claimed = False
            if lost:
                self._discovery_due = min(self._discovery_due, self._discovered_at + _DISCOVER_AFTER_LOSS_S)
        self._changed.set()
        self._on_read(polled.sensor.name, polled.value != before)

    def _discover(self, again: Callable[[], Discovery]) -> None:
        # A driver's defect must cost neither the thread nor what was found before: that goes on being read.
        with suppress(Exception):
            self._adopt(again())
        with self._lock:
            self._discovering = False
            self._discovered_at = self._discovery_due = self._clock()
            if self._discoveries_left == 1:
                self._read_all_now()
            self._discoveries_left = max(0, self._discoveries_left - 1)
            self._discovery_due += _SECOND_DISCOVERY_AFTER_S if self._discoveries_left else _DISCOVER_EVERY_S
        self._changed.set()

    def _read_all_now(self) -> float:
        now = self._clock()
        for each in self._polled:
            each.due = now
        return now

    def _adopt(self, found: Discovery) -> None:
        now = self._clock()
        with self._lock:
            known = {(each.sensor.name, each.sensor.source): each for each in self._polled}
            polled: list[PolledSensor] = []
            for sensor in _cheap_first(found):
                each = known.get((sensor.name, sensor.source))
                if each is None:
                    each = PolledSensor(sensor, now)
                else:
                    each.follow(sensor)
                polled.append(each)
            self._polled, self.found = tuple(polled), found


def _cheap_first(found: Discovery) -> list[Sensor]:
    # Stable, so that sensors of one cost keep the driver's order.
    return sorted(found.sensors, key=lambda sensor: sensor.cost)
