"""The power that leaves batteries, whatever sign and unit their drivers give it."""

from collections.abc import Sequence

from tidegate_drivers.linux.charge import capacity_uwh
from tidegate_drivers.linux.supply import Supply
from tidegate_drivers.linux.sysfs import ImplausibleError, UnreadableError
from tidegate_drivers.sensor import SensorError

_MOST_UA = 200_000_000
_MOST_UW = 2_000_000_000
# Some packs report mA where uA belongs (898 for 0.9 A), some mW for uW. Up to 20 A in mA, or 100 W in mW,
# stays below these floors. A frugal board stays below them too: its small battery then tells them apart, since
# even at 3 C a value a thousand times too small would need two weeks to empty it.
_SURELY_UA = 20_000
_SURELY_UW = 100_000
_LONGEST_TO_EMPTY_H = 333
_FLOWS = (("power_now", _SURELY_UW, _MOST_UW, "uW"), ("current_now", _SURELY_UA, _MOST_UA, "uA"))
_MOVING = ("Charging", "Discharging")


class ThousandfoldError(ImplausibleError):
    """A value that is too small to be in the unit that it should be in."""


def outflow_w(battery: Supply, *, unit_is_sure: bool = False) -> float:
    """The power leaving a battery, in W; negative while it charges. Raises SensorError.

    The sign of current_now and power_now differs by driver and kernel version, so only `status` gives the
    direction.
    """
    if not battery.present():
        raise SensorError(f"{battery.name} is an empty bay")
    status, watts = battery.status(), _magnitude_w(battery, unit_is_sure=unit_is_sure)
    if watts == 0.0 and status == "Charging":
        raise SensorError(f"{battery.name} reports 0 W while charging: it measures no current then")
    if status in _MOVING:
        return watts if status == "Discharging" else -watts
    if watts == 0.0:
        return 0.0
    raise SensorError(f"{battery.name} reports {watts:.3g} W and status {status}, so the direction is unknown")


def draw_w(batteries: Sequence[Supply]) -> float:
    """What leaves all of them together, in W. Raises SensorError when that of one is not known."""
    return sum(_share_w(battery, [other for other in batteries if other != battery]) for battery in batteries)


def _share_w(battery: Supply, others: Sequence[Supply]) -> float:
    # What a pack loses by itself, whatever the unit, is next to nothing beside the one that carries the load.
    carried = any(other.status() == "Discharging" for other in others)
    if carried and battery.status() not in _MOVING and _trickles(battery):
        return 0.0
    try:
        return outflow_w(battery)
    except ThousandfoldError:
        # A pack of the same driver that carries the load shows what unit that driver uses.
        if any(_is_surely_micro(other) for other in others if other.driver == battery.driver):
            return outflow_w(battery, unit_is_sure=True)
        raise


def _trickles(battery: Supply) -> bool:
    told = 0
    for key, least, most, unit in _FLOWS:
        try:
            value = _unsigned(battery, key, most, unit)
        except SensorError:
            continue
        if value >= least:
            return False
        told += 1
    return told > 0


def _is_surely_micro(battery: Supply) -> bool:
    for key, least, most, unit in _FLOWS:
        try:
            if _unsigned(battery, key, most, unit) >= least:
                return True
        except SensorError:
            continue
    return False


def _magnitude_w(battery: Supply, *, unit_is_sure: bool) -> float:
    answers: list[float] = []
    faults: list[SensorError] = []
    for way in (_power_now_w, _current_times_voltage_w):
        try:
            answers.append(way(battery, unit_is_sure=unit_is_sure))
        except SensorError as error:
            if not (isinstance(error, UnreadableError) and error.gone):
                faults.append(error)
            continue
        # Some drivers have a power_now that is always 0: the current may know better.
        if answers[-1] > 0:
            return answers[-1]
    if faults:
        raise faults[0]
    if not answers:
        raise SensorError(f"{battery.name} gives neither power_now nor current_now with voltage_now")
    return 0.0


def _power_now_w(battery: Supply, *, unit_is_sure: bool) -> float:
    microwatts = _unsigned(battery, "power_now", _MOST_UW, "uW")
    if 0 < microwatts < _SURELY_UW and not unit_is_sure:
        _refuse_thousandfold(battery, "power_now", microwatts, "uW", microwatts)
    return microwatts / 1e6


def _current_times_voltage_w(battery: Supply, *, unit_is_sure: bool) -> float:
    microamperes = _unsigned(battery, "current_now", _MOST_UA, "uA")
    if not battery.has("voltage_now"):
        raise SensorError(f"{battery.name} gives current_now, and no voltage_now to make a power of it")
    volts = battery.voltage_v()
    if 0 < microamperes < _SURELY_UA and not unit_is_sure:
        _refuse_thousandfold(battery, "current_now", microamperes, "uA", microamperes * volts)
    return microamperes * volts / 1e6


def _refuse_thousandfold(battery: Supply, key: str, value: int, unit: str, microwatts: float) -> None:
    try:
        hours = capacity_uwh(battery) / microwatts
    except SensorError:
        hours = float("inf")
    if hours > _LONGEST_TO_EMPTY_H:
        raise ThousandfoldError(
            f"{battery.name}/{key} says {value} {unit}, too little to be in {unit}: off by a factor of 1,000?"
        )


def _unsigned(battery: Supply, key: str, most: int, unit: str) -> int:
    return abs(battery.number(key, -most, most, unit))
