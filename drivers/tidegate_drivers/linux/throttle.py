"""How often x86 processors throttled for heat, since boot (kernel: arch/x86/kernel/cpu/mce/therm_throt.c)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tidegate_drivers.linux.sysfs import UnreadableError, entries, read_int, read_text
from tidegate_drivers.reading import Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

THROTTLE_COUNT = "throttle_count"

_DRIVER = "throttle"
_INTERVAL_S = 5.0
_MOST = 1 << 63
_CPU = re.compile(r"cpu[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter; every processor of a core and every core of a package shows the same one."""

    file: Path
    owner: str


def discover(sysroot: Path = Path("/")) -> Discovery:
    """`throttle_count/core` and `throttle_count/package`, each summed over its owners."""
    again = partial(discover, sysroot)
    try:
        found = {"core": _of_cores(sysroot), "package": _of_packages(sysroot)}
    except SensorError as error:
        return Discovery(
            _DRIVER, unavailable=(Unavailable(THROTTLE_COUNT, _DRIVER, str(error), error.grant),), again=again
        )
    sensors = tuple(
        Sensor(
            f"{THROTTLE_COUNT}/{kind}", Unit.COUNT, Provenance.MEASURED, _DRIVER, partial(total, of), _INTERVAL_S
        )
        for kind, of in found.items()
        if of
    )
    if sensors:
        return Discovery(_DRIVER, sensors, again=again)
    reason = "no processor counts its throttling here (only Intel's do)"
    return Discovery(_DRIVER, unavailable=(Unavailable(THROTTLE_COUNT, _DRIVER, reason),), again=again)


def counters(sysroot: Path) -> list[Counter]:
    """The counters of all cores and packages; none on other than Intel's. Raises SensorError."""
    return _of_cores(sysroot) + _of_packages(sysroot)


def total(counters: Sequence[Counter]) -> float:
    """Throttle events since boot, each owner counted once. Raises SensorError."""
    highest: dict[str, int] = {}
    for counter in counters:
        count = read_int(counter.file, 0, _MOST, "events")
        highest[counter.owner] = max(count, highest.get(counter.owner, 0))
    return float(sum(highest.values()))


def _of_cores(sysroot: Path) -> list[Counter]:
    return _counters(sysroot, "core_throttle_count", ("physical_package_id", "core_id"))


def _of_packages(sysroot: Path) -> list[Counter]:
    return _counters(sysroot, "package_throttle_count", ("physical_package_id",))


def _counters(sysroot: Path, file: str, owned_by: tuple[str, ...]) -> list[Counter]:
    found: dict[str, Counter] = {}
    for cpu in (path for path in entries(sysroot / "sys/devices/system/cpu") if _CPU.fullmatch(path.name)):
        path = cpu / "thermal_throttle" / file
        try:
            read_text(path)
        except UnreadableError as error:
            if error.gone:
                continue
        owner = _owner(cpu, owned_by)
        # One processor a core is read, and one a package: all siblings show the same counter.
        found.setdefault(owner, Counter(path, owner))
    return list(found.values())


def _owner(cpu: Path, owned_by: tuple[str, ...]) -> str:
    try:
        return "/".join(str(read_int(cpu / "topology" / part, -1, _MOST, "(a number)")) for part in owned_by)
    except UnreadableError as error:
        if error.gone:
            return cpu.name
        raise
