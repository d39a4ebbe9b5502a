"""Batteries and chargers from /sys/class/power_supply.

Kernel documentation: Documentation/power/power_supply_class.rst and ABI/testing/sysfs-class-power. Values are
in uV, uA, uW, uWh, uAh and tenths of a degree.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tidegate_drivers.linux import charge
from tidegate_drivers.linux.outflow import draw_w, outflow_w
from tidegate_drivers.linux.packs import knows_its_energy, knows_its_flow, packs
from tidegate_drivers.linux.supply import UPS, HostSupplies, Supply, host_supplies
from tidegate_drivers.linux.sysfs import entries
from tidegate_drivers.linux.uevents import Uevents
from tidegate_drivers.reading import (
    BATTERY,
    BATTERY_CYCLES,
    BATTERY_ENERGY,
    BATTERY_HEALTH,
    BATTERY_LEVEL,
    BATTERY_STATE,
    POWER,
    POWER_SOURCE,
    Provenance,
    Unit,
    Value,
)
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError, Unavailable, WakeOn

DRIVER = "power_supply"
_LIVE = Path("/")
_INTERVAL_S = 2.0
# Informational; policies know the whole.
_SLOW_INTERVAL_S = 10.0
# Batteries age by the month.
_AGE_INTERVAL_S = 60.0


def discover(sysroot: Path = _LIVE) -> Discovery:
    """What the machine's power supplies tell: battery, power_source, power, and each battery's own readings."""
    wake_on = (WakeOn(Uevents, frozenset({"power_supply"})),) if sysroot == _LIVE else ()
    return Discovery(DRIVER, *_find(sysroot / "sys/class/power_supply"), partial(discover, sysroot), wake_on)


def _find(root: Path) -> tuple[tuple[Sensor, ...], tuple[Unavailable, ...]]:
    try:
        supplies = [Supply(path) for path in entries(root)]
    except SensorError as error:
        return (), _nothing(str(error), error.grant)
    host = host_supplies(supplies)
    if not host.batteries and not host.chargers:
        untold = [*host.may_be_battery, *host.may_feed]
        return (), _nothing(str(untold[0]), untold[0].grant) if untold else _nothing(_describe(supplies))

    sensors: list[Sensor] = [_sensor(POWER_SOURCE, Unit.NAME, DRIVER, partial(read_power_source, root))]
    unavailable: list[Unavailable] = []
    if host.batteries:
        source = f"{DRIVER}/{'+'.join(battery.name for battery in host.batteries)}"
        sensors.append(_sensor(BATTERY, Unit.PERCENT, source, partial(read_battery_percent, root)))
        if host.batteries[0].kind() == UPS:
            reason = "a UPS supplies other devices as well, so its output is not what this machine draws"
            unavailable.append(Unavailable(POWER, DRIVER, reason))
        else:
            sensors.append(_sensor(POWER, Unit.WATT, source, partial(read_draw_w, root)))
        sensors += _details(packs(host.batteries, knows_its_energy), source, partial(_present_packs, root))
    else:
        reason = next((str(error) for error in host.may_be_battery), "")
        reason = reason or f"no battery of the machine's own; {_describe(supplies)}"
        unavailable += [Unavailable(name, DRIVER, reason) for name in (BATTERY, POWER)]
    for battery in host.batteries:
        sensors += _instance_sensors(battery, alone=len(host.batteries) == 1)
    return tuple(sensors), tuple(unavailable)


def read_battery_percent(root: Path) -> float:
    """The charge of all batteries together in %, by energy. Raises SensorError."""
    return charge.charge_of_all_percent(_present_packs(root))


def read_power_source(root: Path) -> str:
    """`external` or `battery`. Raises SensorError when neither chargers nor batteries say which."""
    return _power_source(_host(root))


def _power_source(host: HostSupplies) -> str:
    faults = [str(error) for error in host.may_feed]
    online: list[bool] = []
    for charger in host.chargers:
        try:
            online.append(charger.online())
        except SensorError as error:
            faults.append(str(error))
    if any(online):
        return "external"
    statuses = {battery.status() for battery in host.batteries if battery.present()}
    if "Discharging" in statuses:
        return "battery"
    if "Charging" in statuses:
        return "external"  # charged over a port that registers no charger here (USB-C through UCSI)
    if online and not faults:
        if statuses:
            return "battery"
        raise SensorError("all chargers are offline, there is no battery, and yet this machine runs")
    if not faults and statuses & {"Full", "Not charging"}:
        return "external"
    reason = "; ".join(faults) or f"battery status is {', '.join(sorted(statuses)) or 'not given'}"
    raise SensorError(f"can't tell the power source: {reason}")


def read_draw_w(root: Path) -> float:
    """What the whole machine draws, in W; known only while the batteries alone carry it. Raises SensorError."""
    host = _host(root)
    if _power_source(host) == "external":
        raise SensorError("on external power the batteries' current says nothing about what the machine draws")
    watts = draw_w(packs(_present(host), knows_its_flow))
    if watts <= 0:
        raise SensorError(f"the batteries report {watts:g} W, and yet this machine runs on them")
    return watts


def read_outflow_w(battery: Supply) -> float:
    """The power leaving one battery in W, negative while it charges. Raises SensorError."""
    watts = outflow_w(battery)
    if watts == 0.0 and battery.status() == "Discharging":
        raise SensorError(
            f"{battery.name} reports 0 W while discharging: it leaves the load to another, or is silent"
        )
    return watts


def _host(root: Path) -> HostSupplies:
    # Listed anew at every read: batteries are swapped and dock batteries come and go.
    return host_supplies([Supply(path) for path in entries(root)])


def _present_packs(root: Path) -> list[Supply]:
    return packs(_present(_host(root)), knows_its_energy)


def _present(host: HostSupplies) -> list[Supply]:
    for error in host.may_be_battery:
        raise error
    present = [battery for battery in host.batteries if battery.present()]
    if not present:
        raise SensorError("the battery bay is empty" if host.batteries else "the battery is gone")
    return present


def _details(batteries: Sequence[Supply], source: str, now: Callable[[], list[Supply]]) -> list[Sensor]:
    """What all batteries together tell beside how full they are, where their drivers have it."""
    sensors = []
    if any(battery.has("status") for battery in batteries):
        sensors.append(_sensor(BATTERY_STATE, Unit.NAME, source, lambda: charge.state(now()), _SLOW_INTERVAL_S))
    if all(battery.has("energy_full", "charge_full") for battery in batteries):
        # A charge is made an energy by the pack's nominal voltage.
        counted = all(battery.has("energy_full") for battery in batteries)
        how = Provenance.MEASURED if counted else Provenance.ESTIMATED
        read = _slow(BATTERY_ENERGY, Unit.WATT_HOUR, source, lambda: charge.energy_left_wh(now()))
        sensors.append(replace(read, provenance=how))
    if all(map(_ages, batteries)):
        read = _sensor(BATTERY_HEALTH, Unit.PERCENT, source, lambda: charge.health_percent(now()), _AGE_INTERVAL_S)
        sensors.append(read)
    return sensors


def _instance_sensors(battery: Supply, *, alone: bool) -> list[Sensor]:
    source = f"{DRIVER}/{battery.name}"
    sensors = [
        _slow(f"{BATTERY}/{battery.name}", Unit.PERCENT, source, partial(charge.charge_percent, battery)),
        _slow(f"{POWER}/{battery.name}", Unit.WATT, source, partial(read_outflow_w, battery)),
    ]
    if battery.has("temp"):
        sensors.append(_slow(f"temperature/{battery.name}", Unit.CELSIUS, source, battery.temperature_c))
    # A pack's age and level are its own; where there is one pack, it is the battery.
    suffix = "" if alone else f"/{battery.name}"
    # Drivers that know no level say Unknown, those that count no cycles 0: readings that nobody could have.
    if battery.has("capacity_level") and battery.word_or_empty("capacity_level") != "Unknown":
        sensors.append(_slow(BATTERY_LEVEL + suffix, Unit.NAME, source, partial(charge.level, battery)))
    if battery.has("cycle_count") and battery.word_or_empty("cycle_count") != "0":
        cycles = partial(charge.cycles, battery)
        sensors.append(_sensor(BATTERY_CYCLES + suffix, Unit.COUNT, source, cycles, _AGE_INTERVAL_S))
    if not alone and _ages(battery):
        health = partial(charge.health_percent, [battery])
        sensors.append(_sensor(BATTERY_HEALTH + suffix, Unit.PERCENT, source, health, _AGE_INTERVAL_S))
    return sensors


def _ages(battery: Supply) -> bool:
    return any(battery.has(f"{kind}_full") and battery.has(f"{kind}_full_design") for kind in ("energy", "charge"))


def _sensor(
    name: str, unit: Unit, source: str, read: Callable[[], Value], interval_s: float = _INTERVAL_S
) -> Sensor:
    return Sensor(name, unit, Provenance.MEASURED, source, read, interval_s, Cost.DEVICE)


def _slow(name: str, unit: Unit, source: str, read: Callable[[], Value]) -> Sensor:
    return _sensor(name, unit, source, read, _SLOW_INTERVAL_S)


def _describe(supplies: list[Supply]) -> str:
    if not supplies:
        return "the kernel knows no battery and no charger (a desktop, a server or a virtual machine)"
    return "found only " + ", ".join(f"{supply.name} ({_words(supply)})" for supply in supplies)


def _words(supply: Supply) -> str:
    try:
        return supply.describe()
    except SensorError as error:
        return str(error)


def _nothing(reason: str, grant: str = "") -> tuple[Unavailable, ...]:
    return tuple(Unavailable(name, DRIVER, reason, grant) for name in (BATTERY, POWER_SOURCE, POWER))
