"""A UPS at a NUT server: its battery, whether it carries the load, and what leaves it.

What leaves a UPS feeds other devices as well, so that it is this machine's `power` only where the address says so.
"""

import re
import time
from collections.abc import Callable, Mapping
from functools import partial

from tidegate_drivers.clocks import Clock
from tidegate_drivers.meters import upsd
from tidegate_drivers.meters.address import UpsMeter
from tidegate_drivers.reading import (
    BATTERY,
    BATTERY_STATE,
    POWER,
    POWER_SOURCE,
    TEMPERATURE,
    Provenance,
    Unit,
    Value,
)
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError

BATTERY_RUNTIME = "battery_runtime"
UPS_LOAD = "ups_load"
UPS_STATUS = "ups_status"

_DRIVER = "meter"
_INTERVAL_S = 5.0
_SHARED_FOR_S = 1.0
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")
_STATUS = re.compile(r"[A-Z][A-Z ]{0,99}")
_MOST_W = 100_000.0
# "Full" is an estimate that the charge may pass a little.
_MOST_PERCENT = 110.0
_WATTS = ("ups.realpower",)
_SHARE_OF = ("ups.load", "ups.realpower.nominal")

Variables = Mapping[str, str]
Ask = Callable[[UpsMeter], Variables]


class Ups:
    """One UPS, asked once where several readings want it."""

    def __init__(self, address: UpsMeter, ask: Ask = upsd.variables, clock: Clock = time.monotonic) -> None:
        self.address = address
        self._ask = ask
        self._clock = clock
        self._latest: tuple[float, Variables | SensorError] | None = None

    def variables(self) -> Variables:
        """What it says now. Raises SensorError."""
        if self._latest is None or self._clock() - self._latest[0] > _SHARED_FOR_S:
            try:
                said: Variables | SensorError = self._ask(self.address)
            except SensorError as error:
                said = error
            self._latest = self._clock(), said
        if isinstance(self._latest[1], SensorError):
            raise SensorError(str(self._latest[1]))
        return self._latest[1]


def discover(address: UpsMeter, ups: Ups | None = None) -> Discovery:
    """`battery`, `power_source`, `battery_state`, and what else this UPS tells, by its name."""
    ups = ups or Ups(address)
    source = f"{_DRIVER}/nut/{address.ups}"

    def sensor(name: str, unit: Unit, read: Callable[[Variables], Value], *, estimated: bool = False) -> Sensor:
        provenance = Provenance.ESTIMATED if estimated else Provenance.MEASURED
        return Sensor(name, unit, provenance, source, lambda: read(ups.variables()), _INTERVAL_S, Cost.DEVICE)

    sensors = [
        # Offered also while the server is away: it may start later than the agent.
        sensor(POWER_SOURCE, Unit.NAME, power_source),
        sensor(BATTERY, Unit.PERCENT, charge_percent),
        sensor(BATTERY_STATE, Unit.NAME, battery_state),
        sensor(f"{UPS_STATUS}/{address.ups}", Unit.NAME, status),
    ]
    if address.power_variable is not None:
        sensors.append(sensor(POWER, Unit.WATT, partial(_watts, address.power_variable)))
    try:
        there = ups.variables()
    except SensorError:
        there = {}
    if all(key in there for key in _WATTS):
        sensors.append(sensor(f"{POWER}/{address.ups}", Unit.WATT, partial(_number, "ups.realpower", 0, _MOST_W)))
    elif all(key in there for key in _SHARE_OF):
        sensors.append(sensor(f"{POWER}/{address.ups}", Unit.WATT, share_w, estimated=True))
    for key, name, unit, low, high in (
        ("ups.load", UPS_LOAD, Unit.PERCENT, 0, 300),
        ("battery.runtime", BATTERY_RUNTIME, Unit.SECOND, 0, 1e7),
        ("input.voltage", "voltage", Unit.VOLT, 0, 1000),
        ("battery.temperature", TEMPERATURE, Unit.CELSIUS, -40, 150),
    ):
        if key in there:
            sensors.append(sensor(f"{name}/{address.ups}", unit, partial(_number, key, low, high)))
    return Discovery(_DRIVER, tuple(sensors), again=partial(discover, address, ups))


def status(said: Variables) -> str:
    """The words of `ups.status`, as OL CHRG or OB LB. Raises SensorError."""
    text = said.get("ups.status", "").strip()
    if not _STATUS.fullmatch(text):
        raise SensorError(f"ups.status is {text[:40]!r}" if text else "this UPS has no ups.status")
    return text


def power_source(said: Variables) -> str:
    """battery while the UPS carries the load from its own, else external. Raises SensorError."""
    words = status(said).split()
    if "OB" in words:
        return "battery"
    if "OL" in words or "BYPASS" in words:
        return "external"
    raise SensorError(f"ups.status says {status(said)}, neither OL nor OB")


def battery_state(said: Variables) -> str:
    """charging, discharging or full; many drivers don't tell more of a battery than that. Raises SensorError."""
    words = status(said).split()
    if "DISCHRG" in words or "OB" in words:
        return "discharging"
    if "CHRG" in words:
        return "charging"
    if "OL" in words and charge_percent(said) >= 100:
        return "full"
    raise SensorError(f"ups.status says {status(said)}, which leaves open whether it charges")


def charge_percent(said: Variables) -> float:
    """How full its battery is in %. Raises SensorError."""
    return min(100.0, _number("battery.charge", 0, _MOST_PERCENT, said))


def share_w(said: Variables) -> float:
    """What leaves it in W, as the share of its nominal power that it tells. Raises SensorError."""
    return _number("ups.load", 0, 300, said) / 100 * _number("ups.realpower.nominal", 1, _MOST_W, said)


def _watts(key: str, said: Variables) -> float:
    watts = _number(key, 0, _MOST_W, said)
    if watts == 0:
        raise SensorError(f"{key} is 0 W, and yet this machine runs")
    return watts


def _number(key: str, low: float, high: float, said: Variables) -> float:
    text = said.get(key)
    if text is None:
        raise SensorError(f"this UPS has no {key}")
    value = float(text.strip().replace(",", ".")) if _NUMBER.fullmatch(text.strip()) else None
    if value is None or not low <= value <= high:
        raise SensorError(f"{key} is {text[:40]!r}, not a number of {low:g} to {high:g}")
    return value
