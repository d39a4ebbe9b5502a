"""Memory from /proc/meminfo and control groups; time lost for want of it from PSI (kernel: accounting/psi.rst)."""

import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tidegate_drivers.linux.cgroup import Group, groups, limiting
from tidegate_drivers.linux.psi_trigger import TOPIC, open_memory_trigger
from tidegate_drivers.linux.sysfs import ImplausibleError, UnreadableError, parse_int, read_text
from tidegate_drivers.reading import MEMORY_AVAILABLE, MEMORY_PRESSURE, Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable, WakeOn

_DRIVER = "memory"
# Half the time that PSI's mean is over; a stall is told at once by its trigger.
_INTERVAL_S = 5.0
_LIVE = Path("/")
_MEMINFO = re.compile(r"^(\w+):\s+(\S+) kB$", re.MULTILINE)
_SOME_AVG10 = re.compile(r"^some avg10=([0-9.]+) ", re.MULTILINE)
_MOST_KB = 1 << 44


def discover(sysroot: Path = _LIVE) -> Discovery:
    """memory_available and memory_pressure, or why not."""
    psi = sysroot / "proc/pressure/memory"
    sensors: list[Sensor] = []
    unavailable: list[Unavailable] = []
    try:
        read_machine_bytes(sysroot / "proc/meminfo")
        limits = limiting(groups(sysroot))
        read = partial(read_available_bytes, sysroot / "proc/meminfo", limits)
        source = "meminfo+cgroup" if limits else "meminfo"
        sensors.append(Sensor(MEMORY_AVAILABLE, Unit.BYTE, Provenance.MEASURED, source, read, _INTERVAL_S))
    except SensorError as error:
        unavailable.append(Unavailable(MEMORY_AVAILABLE, "meminfo", str(error), error.grant))
    try:
        read_pressure_percent(psi)
        read = partial(read_pressure_percent, psi)
        sensors.append(Sensor(MEMORY_PRESSURE, Unit.PERCENT, Provenance.MEASURED, "psi/memory", read, _INTERVAL_S))
    except SensorError as error:
        unavailable.append(Unavailable(MEMORY_PRESSURE, "psi/memory", *_why_no_psi(error)))
    wake_on = (WakeOn(open_memory_trigger, frozenset({TOPIC})),) if sysroot == _LIVE else ()
    return Discovery(_DRIVER, tuple(sensors), tuple(unavailable), partial(discover, sysroot), wake_on)


def read_available_bytes(meminfo: Path, limits: Sequence[Group] = ()) -> float:
    """What the machine or, if less, a control group has left, in bytes. Raises SensorError."""
    left = (group.available_bytes() for group in limits)
    return min(read_machine_bytes(meminfo), *(each for each in left if each is not None), math.inf)


def read_machine_bytes(meminfo: Path) -> float:
    """MemAvailable in bytes. Raises SensorError."""
    fields = dict(_MEMINFO.findall(read_text(meminfo)))
    missing = {"MemTotal", "MemAvailable"} - fields.keys()
    if missing:
        raise ImplausibleError(f"{meminfo} has no {' and no '.join(sorted(missing))}")
    total_kb = parse_int(fields["MemTotal"], 1, _MOST_KB, "kB", f"{meminfo}, MemTotal,")
    return 1024.0 * parse_int(fields["MemAvailable"], 0, total_kb, "kB", f"{meminfo}, MemAvailable,")


def read_pressure_percent(psi: Path) -> float:
    """The share of the last 10 s in which some task waited for memory, in %. Raises SensorError."""
    text = read_text(psi)
    found = _SOME_AVG10.search(text)
    try:
        percent = float(found[1]) if found else math.nan
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise ImplausibleError(f"{psi} has no `some avg10=` of 0 to 100 but {text[:60]!r}")
    return percent


def _why_no_psi(error: SensorError) -> tuple[str, str]:
    if isinstance(error, UnreadableError) and not error.denied:
        reason = f"{error}: PSI is off in this kernel, or a sandbox hides it (systemd's ProcSubset=pid)"
        return reason, "add psi=1 to the kernel's command line and reboot"
    return str(error), error.grant
