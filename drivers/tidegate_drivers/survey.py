"""Every sensor once, for a person who asks what works here (`tidegate doctor`)."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate_drivers.clocks import Clock
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Reading
from tidegate_drivers.sensor import Discovery, Sensor, Unavailable

# Long enough for a second look at counters to have moved, short enough not to be noticed.
_SECOND_LOOK_AFTER_S = 0.25


@dataclass(frozen=True, slots=True)
class DriverReport:
    """What one driver gives on this machine: readings by name, and what is unavailable and why."""

    driver: str
    readings: Mapping[str, Reading]
    unavailable: tuple[Unavailable, ...]


def read_all_once(
    discoveries: Sequence[Discovery], deadline_s: float = 3.0, clock: Clock = time.monotonic
) -> tuple[DriverReport, ...]:
    """Read every sensor of every driver, each driver in its own thread; back within about `deadline_s`.

    A sensor without a value is asked a second time: utilisation has none before its second read. What has not
    answered by the deadline is unavailable.
    """
    answers: list[dict[str, Reading]] = [{} for _ in discoveries]
    threads = [
        threading.Thread(target=_read_driver, args=(found.sensors, into, clock), daemon=True)
        for found, into in zip(discoveries, answers, strict=True)
    ]
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + deadline_s
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return tuple(
        DriverReport(
            found.driver,
            {
                sensor.name: given.get(sensor.name) or _no_answer(sensor, deadline_s, clock)
                for sensor in found.sensors
            },
            found.unavailable,
        )
        # Copied first: a driver past the deadline may still be answering.
        for found, given in zip(discoveries, [dict(answer) for answer in answers], strict=True)
    )


def _read_driver(sensors: Sequence[Sensor], into: dict[str, Reading], clock: Clock) -> None:
    for sensor in sensors:
        into[sensor.name] = read_sensor(sensor, clock)
    again = [sensor for sensor in sensors if into[sensor.name].value is None]
    if again:
        time.sleep(_SECOND_LOOK_AFTER_S)
    for sensor in again:
        into[sensor.name] = read_sensor(sensor, clock)


def _no_answer(sensor: Sensor, deadline_s: float, clock: Clock) -> Reading:
    return Reading.unavailable(sensor.unit, clock(), sensor.source, f"no answer within {deadline_s:g} s")
