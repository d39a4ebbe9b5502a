"""What a device says about itself: battery, power, heat, load, memory and energy. Needs nothing of `tidegate`.

`read()` is everything once, a `Sampler` everything all the time, and an energy window what was drawn in between.
The names below are loaded when they are first used: importing this package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate_drivers.catalog import discover
    from tidegate_drivers.energy_windows import EnergyMonitor, Measurement, begin_window, end_window
    from tidegate_drivers.reading import Reading, Snapshot
    from tidegate_drivers.sampler import Sampler
    from tidegate_drivers.sensor import Discovery
    from tidegate_drivers.survey import read

__all__ = [
    "Discovery",
    "EnergyMonitor",
    "Measurement",
    "Reading",
    "Sampler",
    "Snapshot",
    "begin_window",
    "discover",
    "end_window",
    "read",
]

_MODULES = {
    "Discovery": "sensor",
    "EnergyMonitor": "energy_windows",
    "Measurement": "energy_windows",
    "Reading": "reading",
    "Sampler": "sampler",
    "Snapshot": "reading",
    "begin_window": "energy_windows",
    "discover": "catalog",
    "end_window": "energy_windows",
    "read": "survey",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
