"""How full batteries are, what they hold, and how they have aged (kernel: ABI/testing/sysfs-class-power)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from tidegate_drivers.linux.supply import STATUSES, VOLTAGE_UV, Supply
from tidegate_drivers.linux.sysfs import ImplausibleError, UnreadableError
from tidegate_drivers.sensor import SensorError

LEVELS = ("Critical", "Low", "Normal", "High", "Full")

ENERGY_UWH = (100_000, 10_000_000_000)
CHARGE_UAH = (100_000, 1_000_000_000)
# A worn battery's "full" is an estimate that the charge may pass a little.
_OVERFULL = 1.1
_MOST_PERCENT = 110
# A gauge that rounds or smooths stays within these points of now over full.
_SMOOTHED_POINTS = 3.0
_ROUNDED_POINTS = 1.5
_MOST_CYCLES = 100_000
_HEALTH_PERCENT = (1.0, 150.0)
_ALIKE_POINTS = 1.0

Answer = TypeVar("Answer")


def charge_percent(battery: Supply) -> float:
    """How full a battery is, in %. Raises SensorError, also for an empty bay, whatever it still says."""
    if not battery.present():
        raise SensorError(f"{battery.name} is an empty bay")
    by_energy = [partial(_ratio_percent, battery, "energy"), partial(_ratio_percent, battery, "charge")]
    try:
        capacity = battery.number("capacity", 0, _MOST_PERCENT, "%")
    except SensorError as error:
        return _first(battery, by_energy, [error], _level_beside(battery))
    if capacity <= 100 and not _is_over_design(battery, capacity):
        return float(capacity)
    try:
        return _first(battery, by_energy)
    except SensorError:
        return min(100.0, capacity)


def charge_of_all_percent(batteries: Sequence[Supply]) -> float:
    """How full several batteries are together, in %, by energy. Raises SensorError."""
    if len(batteries) == 1:
        return charge_percent(batteries[0])
    try:
        # Percentages of batteries of different sizes can't be averaged: 90 % of 20 Wh and 10 % of 70 Wh are 28 %.
        stored = [energy_wh(battery) for battery in batteries]
    except SensorError:
        percents = [charge_percent(battery) for battery in batteries]
        # Where all say the same, the whole is as full whatever their sizes.
        if max(percents) - min(percents) > _ALIKE_POINTS:
            raise
        return sum(percents) / len(percents)
    return min(100.0, 100.0 * sum(now for now, _ in stored) / sum(full for _, full in stored))


def energy_wh(battery: Supply) -> tuple[float, float]:
    """The energy held now and when full, in Wh; from charge and voltage if need be. Raises SensorError."""
    return _first(battery, [partial(_energy_wh, battery, "energy"), partial(_energy_wh, battery, "charge")])


def energy_left_wh(batteries: Sequence[Supply]) -> float:
    """The energy held by all of them now, in Wh. Raises SensorError."""
    return sum(energy_wh(battery)[0] for battery in batteries)


def health_percent(batteries: Sequence[Supply]) -> float:
    """What they hold when full over what they were made for, in %. Raises SensorError."""
    worn = [_full_and_design_wh(battery) for battery in batteries]
    percent = 100.0 * sum(full for full, _ in worn) / sum(design for _, design in worn)
    low, high = _HEALTH_PERCENT
    if not low <= percent <= high:
        raise ImplausibleError(f"full is {percent:.0f} % of the design, plausible is {low:.0f} to {high:.0f}")
    return percent


def cycles(battery: Supply) -> float:
    """How often it was emptied and charged. Raises SensorError."""
    count = battery.number("cycle_count", 0, _MOST_CYCLES, "cycles")
    if count == 0:
        raise SensorError(f"{battery.name}/cycle_count says 0, as the drivers do that don't count")
    return float(count)


def level(battery: Supply) -> str:
    """`capacity_level` in small letters, one of LEVELS: all that some drivers know. Raises SensorError."""
    word = battery.word("capacity_level")
    if word not in LEVELS:
        raise ImplausibleError(f"{battery.name}/capacity_level says {word[:40]!r}; levels are {', '.join(LEVELS)}")
    return word.lower()


def state(batteries: Sequence[Supply]) -> str:
    """`discharging` or `charging` when one of them is, else `full` when all are, else `not charging`.

    Raises SensorError when they don't say.
    """
    statuses = {battery.status() for battery in batteries}
    for moving in ("Discharging", "Charging"):
        if moving in statuses:
            return moving.lower()
    if not statuses or not statuses <= set(STATUSES):
        raise SensorError(f"battery status is {', '.join(sorted(statuses)) or 'not given'}")
    return "full" if statuses == {"Full"} else "not charging"


def capacity_uwh(battery: Supply) -> float:
    """What it holds when full, or was made to hold, or by its charge must hold, in uWh. Raises SensorError."""
    sizes = [(key, kind) for key in ("full", "full_design") for kind in ("energy", "charge")]
    ways = [partial(_size_uwh, battery, kind, key) for key, kind in sizes]
    return _first(
        battery, [*ways, *(partial(_size_by_charge_uwh, battery, kind) for kind in ("energy", "charge"))]
    )


def _ratio_percent(battery: Supply, kind: str) -> float:
    full = _size(battery, kind, "full")
    return min(100.0, 100.0 * _now(battery, kind, full) / full)


def _is_over_design(battery: Supply, capacity: int) -> bool:
    # The smart batteries of MacBooks answer `capacity` over what a pack held when it was new.
    for kind in ("energy", "charge"):
        try:
            full, design = _size(battery, kind, "full"), _size(battery, kind, "full_design")
            now = _now(battery, kind, full)
        except SensorError:
            continue
        of_full, of_design = 100.0 * now / full, 100.0 * now / design
        return (
            full < design
            and abs(capacity - of_full) > _SMOOTHED_POINTS
            and abs(capacity - of_design) <= _ROUNDED_POINTS
        )
    return False


def _energy_wh(battery: Supply, kind: str) -> tuple[float, float]:
    full = _size(battery, kind, "full")
    volts = 1.0 if kind == "energy" else _nominal_voltage_v(battery)
    try:
        now = _now(battery, kind, full)
    except UnreadableError as error:
        # A driver gives those properties that its gauge has. One that fails is not one that it hasn't.
        if not error.gone:
            raise
        now = full * min(100, battery.number("capacity", 0, _MOST_PERCENT, "%")) / 100
    return now * volts / 1e6, full * volts / 1e6


def _full_and_design_wh(battery: Supply) -> tuple[float, float]:
    def read(kind: str) -> tuple[float, float]:
        volts = 1.0 if kind == "energy" else _nominal_voltage_v(battery)
        full, design = _size(battery, kind, "full"), _size(battery, kind, "full_design")
        return full * volts / 1e6, design * volts / 1e6

    return _first(battery, [partial(read, "energy"), partial(read, "charge")])


def _size_uwh(battery: Supply, kind: str, key: str) -> float:
    return _size(battery, kind, key) * (1.0 if kind == "energy" else _nominal_voltage_v(battery))


def _size_by_charge_uwh(battery: Supply, kind: str) -> float:
    limits, unit = (ENERGY_UWH, "uWh") if kind == "energy" else (CHARGE_UAH, "uAh")
    now = battery.number(f"{kind}_now", 0, limits[1], unit)
    full = now * 100 / battery.number("capacity", 1, _MOST_PERCENT, "%")
    return full * (1.0 if kind == "energy" else _nominal_voltage_v(battery))


def _size(battery: Supply, kind: str, key: str) -> float:
    limits, unit = (ENERGY_UWH, "uWh") if kind == "energy" else (CHARGE_UAH, "uAh")
    return float(battery.number(f"{kind}_{key}", *limits, unit))


def _now(battery: Supply, kind: str, full: float) -> float:
    unit = "uWh" if kind == "energy" else "uAh"
    return float(battery.number(f"{kind}_now", 0, int(full * _OVERFULL), unit))


def _nominal_voltage_v(battery: Supply) -> float:
    try:
        return battery.number("voltage_min_design", *VOLTAGE_UV, "uV") / 1e6
    except SensorError:
        return battery.voltage_v()


def _level_beside(battery: Supply) -> str:
    try:
        return f"; its driver gives only a level: capacity_level is {level(battery).capitalize()}"
    except SensorError:
        return ""


def _first(
    battery: Supply, ways: Sequence[Callable[[], Answer]], faults: Sequence[SensorError] = (), beside: str = ""
) -> Answer:
    """The first answer. Raises SensorError with what stood in the way.

    That is not a file that isn't there, where another is and says what can't be.
    """
    faults = list(faults)
    for way in ways:
        try:
            return way()
        except SensorError as error:
            faults.append(error)
    decisive = [error for error in faults if not (isinstance(error, UnreadableError) and error.gone)] or faults
    words = "; ".join(dict.fromkeys(map(str, decisive))).replace(f"{battery.path.parent}/", "")
    reason = SensorError(words + beside)
    reason.grant = next((error.grant for error in decisive if error.grant), "")
    raise reason
