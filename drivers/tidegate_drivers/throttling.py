"""Whether the chip is slowed down now, by all that the kernel tells of it: one source that says so is enough.

Counters of throttle events (Intel's processors, a Jetson's over-current alarms), the cooling devices with which
the kernel holds the chip back, and the reasons that Intel's graphics give. A Raspberry Pi's firmware says it
itself (boards/raspberry_pi.py).
"""

import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tidegate_drivers.boards import jetson
from tidegate_drivers.clocks import Clock
from tidegate_drivers.linux import cooling, graphics, throttle
from tidegate_drivers.linux.sysfs import UnreadableError
from tidegate_drivers.reading import THROTTLED, Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

DRIVER = "throttling"
HELD_S = 15.0
"""How long a rise of a counter counts as throttling: it says when that began, and nothing says when it ended."""

_INTERVAL_S = 5.0
# cpufreq_cooling.c, devfreq_cooling.c (`thermal-` before 5.11), and ACPI's processor_thermal.c.
_SLOWS_THE_CHIP = re.compile(r"(thermal-)?(cpufreq|devfreq)-.+|Processor")
_NO_SOURCE = "neither throttle counters nor cooling devices of the processor are registered"

Source = Callable[[], bool]
Found = TypeVar("Found")


class Rise:
    """Whether a count has risen within HELD_S; it outlasts one discovery, since one look can't tell a rise."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._before: float | None = None
        self._rose_at: float | None = None

    def seen(self, count: Callable[[], float]) -> bool:
        """Look at the count again. Raises SensorError, always on the first call."""
        now, events = self._clock(), count()
        before, self._before = self._before, events
        if before is None:
            raise SensorError("throttling shows in a rise of its counters, and this was the first look at them")
        if events > before:
            self._rose_at = now
        return self._rose_at is not None and now - self._rose_at < HELD_S


def discover(sysroot: Path = Path("/"), events: Rise | None = None, alarms: Rise | None = None) -> Discovery:
    """`throttled`, or why it can't be known; the two rises outlast one discovery."""
    events, alarms = events or Rise(), alarms or Rise()
    again = partial(discover, sysroot, events, alarms)
    counters, no_counters = _there(throttle.counters, sysroot)
    files, no_files = jetson.over_current_counts(sysroot)
    devices, no_devices = _slowing(sysroot)
    units, no_units = graphics.throttled_sources(sysroot)
    sources: dict[str, Source] = {}
    if counters:
        sources[throttle.THROTTLE_COUNT] = partial(events.seen, partial(throttle.total, counters))
    if files:
        sources["soctherm_oc"] = partial(alarms.seen, partial(_total, files))
    if devices:
        sources["cooling"] = partial(_at_work, devices)
    for unit in units:
        sources[unit.name] = unit.slowed
    # What can't be told apart may be what slows the chip down; that it is left out must show.
    hidden = [str(fault) for fault in (*no_counters, *no_files, *no_units)] + no_devices
    if not sources:
        reason = "; ".join(hidden) or _NO_SOURCE
        return Discovery(DRIVER, unavailable=(Unavailable(THROTTLED, DRIVER, reason),), again=again)
    provenance = Provenance.MEASURED_PARTIAL if hidden else Provenance.MEASURED
    read = partial(throttled, tuple(sources.values()))
    sensor = Sensor(THROTTLED, Unit.NAME, provenance, f"{DRIVER}/{'+'.join(sources)}", read, _INTERVAL_S)
    unavailable = tuple(Unavailable(f"{THROTTLED}/unread", DRIVER, reason) for reason in hidden)
    return Discovery(DRIVER, (sensor,), unavailable, again)


def throttled(sources: Sequence[Source]) -> str:
    """`yes` if one source says so, `no` if all deny it. Raises SensorError when one that fails may be the one."""
    failure: SensorError | None = None
    slowed = False
    for source in sources:
        # All are asked each time: a rise shows only to who looked before.
        try:
            slowed = source() or slowed
        except SensorError as error:
            failure = error
    if failure is not None and not slowed:
        raise failure
    return "yes" if slowed else "no"


def _there(find: Callable[[Path], list[Found]], sysroot: Path) -> tuple[list[Found], list[SensorError]]:
    try:
        return find(sysroot), []
    except UnreadableError as error:
        return [], [] if error.gone else [error]
    except SensorError as error:
        return [], [error]


def _slowing(sysroot: Path) -> tuple[list[Path], list[str]]:
    try:
        found, unavailable = cooling.by_type(sysroot)
    except UnreadableError as error:
        return [], [] if error.gone else [str(error)]
    slowing = [path for kind, alike in found.items() if _SLOWS_THE_CHIP.fullmatch(kind) for path in alike]
    return slowing, [missing.reason for missing in unavailable]


def _at_work(devices: Sequence[Path]) -> bool:
    return cooling.busiest_percent(devices) > 0.0


def _total(files: Sequence[Path]) -> float:
    return sum(jetson.count(file) for file in files)
