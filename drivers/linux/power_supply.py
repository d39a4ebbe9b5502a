"""Batteries and chargers from /sys/class/power_supply.

Kernel documentation: Documentation/power/power_supply_class.rst and ABI/testing/sysfs-class-power. Values are
in uV, uA, uW, uWh, uAh and tenths of a degree.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from drivers.linux.supply import UPS, Supply, host_batteries, host_chargers
from drivers.linux.sysfs import entries
from drivers.linux.uevents import Uevents
from drivers.reading import BATTERY, POWER, POWER_SOURCE, Provenance, Unit, Value
from drivers.sensor import Cost, Discovery, Refusal, Sensor, SensorError, WakeOn

DRIVER = "power_supply"
_LIVE = Path("/")
_INTERVAL_S = 2.0


def discover(sysroot: Path = _LIVE) -> Discovery:
    """What the machine's power supplies tell: battery, power_source, power, and each battery's own readings."""
    wake_on = (WakeOn(Uevents, frozenset({"power_supply"})),) if sysroot == _LIVE else ()
    return Discovery(DRIVER, *_find(sysroot / "sys/class/power_supply"), partial(discover, sysroot), wake_on)


def _find(root: Path) -> tuple[tuple[Sensor, ...], tuple[Refusal, ...]]:
    try:
        supplies = [Supply(path) for path in entries(root)]
        batteries, chargers = host_batteries(supplies), host_chargers(supplies)
        others = _describe(supplies)
    except SensorError as error:
        return (), _nothing(str(error), error.grant)
    if not batteries and not chargers:
        return (), _nothing(others)

    sensors: list[Sensor] = [_sensor(POWER_SOURCE, Unit.NAME, DRIVER, partial(read_power_source, root))]
    refusals: list[Refusal] = []
    if batteries:
        source = f"{DRIVER}/{'+'.join(battery.name for battery in batteries)}"
        sensors.append(_sensor(BATTERY, Unit.PERCENT, source, partial(read_battery_percent, root)))
        if batteries[0].kind() == UPS:
            reason = "a UPS carries other devices as well, so that what leaves it is not what this machine draws"
            refusals.append(Refusal(POWER, DRIVER, reason))
        else:
            sensors.append(_sensor(POWER, Unit.WATT, source, partial(read_draw_w, root)))
    else:
        reason = f"no battery of the machine's own; {others}"
        refusals += [Refusal(name, DRIVER, reason) for name in (BATTERY, POWER)]
    for battery in batteries:
        sensors += _instance_sensors(battery)
    return tuple(sensors), tuple(refusals)


def read_battery_percent(root: Path) -> float:
    """The charge of all batteries together in %, by energy. Raises SensorError."""
    batteries = _present_batteries(root)
    if len(batteries) == 1:
        return batteries[0].charge_percent()
    # Percentages of batteries of different sizes can't be averaged: 90 % of 20 Wh and 10 % of 70 Wh are 28 %.
    stored = [battery.energy_wh() for battery in batteries]
    return min(100.0, 100.0 * sum(now for now, _ in stored) / sum(full for _, full in stored))


def read_power_source(root: Path) -> str:
    """`external` or `battery`. Raises SensorError when neither chargers nor batteries say which."""
    supplies = [Supply(path) for path in entries(root)]
    faults: list[str] = []
    online: list[bool] = []
    for charger in host_chargers(supplies):
        try:
            online.append(charger.online())
        except SensorError as error:
            faults.append(str(error))
    if any(online):
        return "external"
    statuses = {battery.status() for battery in host_batteries(supplies) if battery.present()}
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
    if read_power_source(root) == "external":
        raise SensorError("on external power the batteries' current says nothing of what the machine draws")
    draw_w = sum(battery.outflow_w() for battery in _present_batteries(root))
    if draw_w <= 0:
        raise SensorError(f"the batteries report {draw_w:g} W, and yet this machine runs on them")
    return draw_w


def read_outflow_w(battery: Supply) -> float:
    """The power leaving one battery in W, negative while it charges. Raises SensorError."""
    watts = battery.outflow_w()
    if watts == 0.0 and battery.status() == "Discharging":
        raise SensorError(
            f"{battery.name} reports 0 W while discharging: it leaves the load to another, or is silent"
        )
    return watts


def _present_batteries(root: Path) -> list[Supply]:
    # Listed anew at every read: batteries are swapped and dock batteries come and go.
    found = host_batteries([Supply(path) for path in entries(root)])
    present = [battery for battery in found if battery.present()]
    if not present:
        raise SensorError("the battery bay is empty" if found else "the battery is gone")
    return present


def _instance_sensors(battery: Supply) -> list[Sensor]:
    source = f"{DRIVER}/{battery.name}"
    sensors = [
        _sensor(f"{BATTERY}/{battery.name}", Unit.PERCENT, source, battery.charge_percent),
        _sensor(f"{POWER}/{battery.name}", Unit.WATT, source, partial(read_outflow_w, battery)),
    ]
    if battery.tells_temperature():
        sensors.append(_sensor(f"temperature/{battery.name}", Unit.CELSIUS, source, battery.temperature_c))
    return sensors


def _sensor(name: str, unit: Unit, source: str, read: Callable[[], Value]) -> Sensor:
    return Sensor(name, unit, Provenance.MEASURED, source, read, _INTERVAL_S, Cost.DEVICE)


def _describe(supplies: list[Supply]) -> str:
    if not supplies:
        return "the kernel knows no battery and no charger (a desktop, a server or a virtual machine)"
    return "found only " + ", ".join(f"{supply.name} ({supply.describe()})" for supply in supplies)


def _nothing(reason: str, grant: str = "") -> tuple[Refusal, ...]:
    return tuple(Refusal(name, DRIVER, reason, grant) for name in (BATTERY, POWER_SOURCE, POWER))
