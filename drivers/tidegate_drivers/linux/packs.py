"""Packs of cells, each once: a pack can have two gauges, and each registers a battery."""

from collections.abc import Callable, Sequence

from tidegate_drivers.linux.charge import charge_percent, energy_wh
from tidegate_drivers.linux.outflow import outflow_w
from tidegate_drivers.linux.supply import Supply
from tidegate_drivers.sensor import SensorError

# Two gauges of one pack are read one after the other, while the load changes.
_SAME_VOLTAGE = 0.01
_SAME_CURRENT = 0.1
_SAME_CHARGE_POINTS = 3.0
_MOST_UA = 200_000_000


def packs(batteries: Sequence[Supply], knows: Callable[[Supply], bool]) -> list[Supply]:
    """The batteries; of those that measure the same cells the first that `knows` what is asked, else the first."""
    kept: list[Supply] = []
    for battery in batteries:
        twin = next((index for index, other in enumerate(kept) if _measure_the_same(battery, other)), None)
        if twin is None:
            kept.append(battery)
        elif knows(battery) and not knows(kept[twin]):
            kept[twin] = battery
    return kept


def knows_its_energy(battery: Supply) -> bool:
    """Whether it says what it holds, not only what part of it."""
    try:
        energy_wh(battery)
    except SensorError:
        return False
    return True


def knows_its_flow(battery: Supply) -> bool:
    """Whether it measures a current or a power now that is not 0."""
    try:
        return outflow_w(battery) != 0
    except SensorError:
        return False


def _measure_the_same(one: Supply, other: Supply) -> bool:
    # A driver registers each of its packs once: BAT0 and BAT1 are two, however alike they are.
    if one.driver == other.driver:
        return False
    serial = one.word_or_empty("serial_number")
    return (serial != "" and serial == other.word_or_empty("serial_number")) or _read_alike(one, other)


def _read_alike(one: Supply, other: Supply) -> bool:
    try:
        volts, others = one.voltage_v(), other.voltage_v()
    except SensorError:
        return False
    if abs(volts - others) > _SAME_VOLTAGE * volts:
        return False
    current, other_current = _current_ua(one), _current_ua(other)
    if current and other_current:
        return abs(current - other_current) <= _SAME_CURRENT * current
    try:
        return abs(charge_percent(one) - charge_percent(other)) <= _SAME_CHARGE_POINTS
    except SensorError:
        return True  # cells of one voltage to a hundredth, of which one gauge knows nothing but that


def _current_ua(battery: Supply) -> int:
    """The current's magnitude, 0 where none is known."""
    try:
        return abs(battery.number("current_now", -_MOST_UA, _MOST_UA, "uA"))
    except SensorError:
        return 0
