"""The drivers of macOS in the order in which their readings count, each with its name and what it gives."""

from collections.abc import Callable
from pathlib import Path

from tidegate_drivers.apple import counters, powermetrics, state
from tidegate_drivers.apple.system import MacSystem
from tidegate_drivers.reading import BATTERY, MEMORY_PRESSURE, POWER, TEMPERATURE, THROTTLED
from tidegate_drivers.sensor import Discovery

MACOS: tuple[tuple[str, Callable[[Path], Discovery], tuple[str, ...]], ...] = (
    (
        "macos",
        lambda _sysroot: state.discover(MacSystem()),
        (BATTERY, "power_source", POWER, TEMPERATURE, "thermal_pressure", THROTTLED, MEMORY_PRESSURE),
    ),
    ("powermetrics", lambda _sysroot: powermetrics.discover(), (POWER,)),
    ("apple_counters", lambda _sysroot: counters.discover(), (POWER, "energy")),
)
