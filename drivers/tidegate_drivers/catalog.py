"""The drivers of this platform, in the order in which their readings count, each looked for without blocking."""

import platform
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tidegate_drivers import host, nvidia, throttling
from tidegate_drivers.boards import jetson, raspberry_pi, rk3588
from tidegate_drivers.linux import (
    accelerators,
    cooling,
    cpu,
    cpufreq,
    hwmon,
    memory,
    platform_profile,
    power_supply,
    rapl,
    thermal,
    throttle,
)
from tidegate_drivers.meters import meter as meters
from tidegate_drivers.reading import BATTERY, CPU, MEMORY_AVAILABLE, MEMORY_PRESSURE, POWER, TEMPERATURE, THROTTLED
from tidegate_drivers.sensor import Discovery, Unavailable

DISCOVERY_DEADLINE_S = 3.0
"""A driver that has found nothing by then is refused, and looked for again in the background."""

_LIVE = Path("/")


@dataclass(frozen=True, slots=True)
class Driver:
    """One driver: `gives` is what it is refused by when even its discovery fails."""

    name: str
    discover: Callable[[Path], Discovery]
    gives: tuple[str, ...]


LINUX = (
    Driver("power_supply", power_supply.discover, (BATTERY, "power_source", POWER)),
    Driver("jetson", jetson.discover, (POWER,)),
    Driver("raspberry_pi", raspberry_pi.discover, (POWER, "under_voltage", "thermal_pressure", THROTTLED)),
    Driver("rk3588", rk3588.discover, ("npu",)),
    Driver("thermal", thermal.discover, (TEMPERATURE, "thermal_pressure")),
    Driver("hwmon", hwmon.discover, ("hwmon", POWER)),
    Driver("rapl", rapl.discover, (POWER, "energy")),
    Driver("memory", memory.discover, (MEMORY_AVAILABLE, MEMORY_PRESSURE)),
    Driver("cpu", cpu.discover, (CPU,)),
    Driver("cpufreq", cpufreq.discover, ("frequency",)),
    Driver("throttle", throttle.discover, ("throttle_count",)),
    Driver("throttling", throttling.discover, (THROTTLED,)),
    Driver("accelerators", accelerators.discover, ("gpu", "npu")),
    Driver("cooling", cooling.discover, ("cooling",)),
    Driver("platform_profile", platform_profile.discover, ("platform_profile",)),
)

# These ask the running system, never a captured tree.
LIVE = (Driver("nvidia", lambda _sysroot: nvidia.discover(), ("gpu",)),)
HOST = Driver("host", lambda _sysroot: host.discover(), (MEMORY_AVAILABLE, CPU))


def discover(
    sysroot: Path = _LIVE, deadline_s: float = DISCOVERY_DEADLINE_S, meter: str | None = None
) -> tuple[Discovery, ...]:
    """What every driver finds here; a `sysroot` holds a captured Linux tree, read the same on any platform.

    `meter` names an external one (meters/address.py), whose power goes before that of all others.
    Back within about `deadline_s`, whatever the devices do. Drivers of other boards, which have nothing to say,
    are left out.

    >>> from tidegate_drivers.testing import device_tree
    >>> with device_tree.laid_out("raspberry-pi-5") as root:
    ...     found = discover(root)
    >>> "under_voltage" in {sensor.name for each in found for sensor in each.sensors}
    True
    >>> {each.name: each.reason.partition("/sys")[2] for each in found[0].unavailable}["battery"]
    '/class/power_supply is not there (ENOENT)'
    """
    found = discover_each((meter_driver(meter), *_drivers_for(sysroot)), sysroot, deadline_s)
    return tuple(each for each in found if each.sensors or each.unavailable)


def meter_driver(named: str | None) -> Driver:
    """The driver of the named meter, which finds nothing where none is named."""
    return Driver(meters.DRIVER, lambda sysroot: meters.discover(named, sysroot), (POWER,))


def _drivers_for(sysroot: Path) -> Sequence[Driver]:
    if sysroot != _LIVE:
        return LINUX
    if platform.system() == "Darwin":
        from tidegate_drivers.apple import catalog  # noqa: PLC0415 - Linux does without, and its memory

        return (*LIVE, *(Driver(*each) for each in catalog.MACOS), HOST)
    return (*LIVE, *(LINUX if platform.system() == "Linux" else (HOST,)))


def discover_each(drivers: Sequence[Driver], sysroot: Path, deadline_s: float) -> tuple[Discovery, ...]:
    """What these drivers find, each in a thread of its own, in their order."""
    found: list[Discovery | None] = [None] * len(drivers)
    threads = [
        threading.Thread(target=_discover_into, args=(found, index, driver, sysroot), daemon=True)
        for index, driver in enumerate(drivers)
    ]
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + deadline_s
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    reason = f"its devices have not answered within {deadline_s:g} s"
    return tuple(
        each or _refused(driver, sysroot, reason) for driver, each in zip(drivers, list(found), strict=True)
    )


def _discover_into(found: list[Discovery | None], index: int, driver: Driver, sysroot: Path) -> None:
    found[index] = _discover_safely(driver, sysroot)


def _discover_safely(driver: Driver, sysroot: Path) -> Discovery:
    try:
        return driver.discover(sysroot)
    except OSError as error:
        return _refused(driver, sysroot, str(error))
    except Exception as error:  # noqa: BLE001  a driver's defect must cost its own readings, not the others'
        return _refused(driver, sysroot, f"defect in the driver: {error!r}")


def _refused(driver: Driver, sysroot: Path, reason: str) -> Discovery:
    unavailable = tuple(Unavailable(name, driver.name, reason) for name in driver.gives)
    return Discovery(driver.name, unavailable=unavailable, again=partial(_discover_safely, driver, sysroot))
