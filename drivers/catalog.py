"""The drivers of this platform, in the order in which their readings count."""

import platform
from pathlib import Path

from drivers import host
from drivers.linux import cpu, memory, power_supply, thermal
from drivers.sensor import Discovery

_LIVE = Path("/")


def discover_all(sysroot: Path = _LIVE) -> tuple[Discovery, ...]:
    """What every driver finds here; a `sysroot` holds a captured Linux tree, read the same on any platform."""
    if platform.system() != "Linux" and sysroot == _LIVE:
        return (host.discover(),)
    return tuple(driver.discover(sysroot) for driver in (power_supply, thermal, memory, cpu))
