"""Every sensor once: as one snapshot, or driver by driver for a person who asks what works here."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate_drivers.best_reading import snapshot_of
from tidegate_drivers.catalog import discover
from tidegate_drivers.clocks import Clock
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Reading, Snapshot
from tidegate_drivers.sensor import Discovery, Sensor, Unavailable

# Long enough for a second look at counters to have moved, short enough not to be noticed.
_SECOND_LOOK_AFTER_S = 0.25


@dataclass(frozen=True, slots=True)
class DriverReport:
    """What one driver gives on this machine: readings by name, and what is unavailable and why."""

    driver: str
    readings: Mapping[str, Reading]
    unavailable: tuple[Unavailable, ...]


def read(sysroot: Path = Path("/"), deadline_s: float = 3.0, meter: str | None = None) -> Snapshot:
    """Every reading of this device once, or of a captured tree under `sysroot`; back within two deadlines.

    `meter` names an external one (docs/drivers.md). What has no value is there with its reason. Shares of time
    (`cpu`) are taken over a quarter of a second. Raises nothing, whatever devices do.

    >>> from tidegate_drivers.testing import device_tree
    >>> with device_tree.laid_out("laptop") as root:
    ...     snapshot = read(root)
    >>> snapshot.number("battery"), snapshot.word("power_source")
    (50.0, 'battery')
    >>> power = snapshot.readings["power"]
    >>> power.value, power.unit.value, power.provenance.value, power.source
    (12.3, 'W', 'measured', 'power_supply/BAT0+BAT1')
    """
    found = discover(sysroot, deadline_s, meter)
    try:
        reports = read_all_once(found, deadline_s)
    finally:
        for each in found:
            if each.stop is not None:
                each.stop()
    offered = [offer for report in reports for offer in report.readings.items()]
    return snapshot_of(time.monotonic(), offered, [each for report in reports for each in report.unavailable])


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
