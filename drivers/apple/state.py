"""What macOS says of heat, memory and its battery without root."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from drivers.apple import recorded
from drivers.apple.recorded import RecordError, SmartBattery
from drivers.reading import (
    BATTERY,
    MEMORY_PRESSURE,
    POWER,
    POWER_SOURCE,
    TEMPERATURE,
    THERMAL_PRESSURE,
    THROTTLED,
    Provenance,
    Unit,
    Value,
)
from drivers.sensor import Cost, Discovery, Refusal, Sensor, SensorError, WakeOn
from drivers.wake import Wake

LOW_POWER_MODE = "low_power_mode"
MEMORY_LEVEL = "memory_level"

NEVER_TOLD: Mapping[str, str] = {
    TEMPERATURE: "macOS tells no temperature without private interfaces; use thermal_pressure",
    THROTTLED: "macOS tells no throttling to programs; use thermal_pressure",
    MEMORY_PRESSURE: f"macOS tells a level, not a share of time: see {MEMORY_LEVEL}",
}
"""What policies know and no Mac says, with the reason."""

_DRIVER = "macos"
_THERMAL_KEY = "com.apple.system.thermalpressurelevel"
_LOW_POWER_KEY = "com.apple.system.lowpowermode"
_SOURCE_KEY = "com.apple.system.powersources.source"
_PERCENT_KEY = "com.apple.system.powersources.percent"
_MEMORY_SYSCTL = "kern.memorystatus_vm_pressure_level"
_IOREG = ("ioreg", "-a", "-r", "-n", "AppleSmartBattery")
_PMSET = ("pmset", "-g", "batt")
# Each read of the battery starts a process; the keys tell at once when something changed.
_BATTERY_INTERVAL_S = 10.0
_SHARED_FOR_S = 1.0


class System(Protocol):
    """What of macOS is asked (drivers.apple.system.MacSystem). Every method raises OSError."""

    def notify_state(self, key: str) -> int:
        """The state of a notify(3) key."""

    def open_notice(self, key: str) -> Wake:
        """A wake whose topic is the key."""

    def process_thermal_state(self) -> int:
        """NSProcessInfo.thermalState."""

    def sysctl_int(self, name: str) -> int:
        """An integer sysctl."""

    def output_of(self, command: Sequence[str]) -> bytes:
        """What a command prints."""


class Registry:
    """AppleSmartBattery, asked for once where several readings want it: each answer costs a process."""

    def __init__(self, system: System, clock: Callable[[], float] = time.monotonic) -> None:
        self._system = system
        self._clock = clock
        self._latest: tuple[float, SmartBattery | None] | None = None

    def smart_battery(self) -> SmartBattery | None:
        """The battery, None on a Mac without one. Raises OSError, RecordError."""
        if self._latest is None or self._clock() - self._latest[0] > _SHARED_FOR_S:
            self._latest = self._clock(), recorded.smart_battery(self._system.output_of(_IOREG))
        return self._latest[1]

    def battery(self) -> SmartBattery:
        """The battery. Raises OSError, RecordError, SensorError."""
        battery = self.smart_battery()
        if battery is None:
            raise SensorError("this Mac has no battery")
        return battery

    def pmset(self) -> tuple[str, float | None]:
        """Source and charge in the words of pmset, where the registry fails. Raises OSError, RecordError."""
        return recorded.pmset_battery(self._system.output_of(_PMSET).decode("utf-8", "replace"))


def discover(system: System) -> Discovery:
    """battery, power_source, power, thermal_pressure, low_power_mode and memory_level, or why not."""
    registry = Registry(system)
    offers: list[tuple[str, Unit, str, Callable[[], Value], float]] = [
        (THERMAL_PRESSURE, Unit.NAME, _THERMAL_KEY, partial(read_pressure, system), 5.0),
        (LOW_POWER_MODE, Unit.NAME, _LOW_POWER_KEY, partial(read_low_power, system), 10.0),
        (MEMORY_LEVEL, Unit.NAME, _MEMORY_SYSCTL, partial(read_memory_level, system), 2.0),
        (POWER_SOURCE, Unit.NAME, "AppleSmartBattery", partial(read_source, registry), _BATTERY_INTERVAL_S),
        (BATTERY, Unit.PERCENT, "AppleSmartBattery", partial(read_percent, registry), _BATTERY_INTERVAL_S),
        (POWER, Unit.WATT, "AppleSmartBattery", partial(read_draw_w, registry), _BATTERY_INTERVAL_S),
        ("temperature/battery", Unit.CELSIUS, "AppleSmartBattery", partial(read_celsius, registry), 30.0),
    ]
    sensors: list[Sensor] = []
    refusals = [Refusal(name, _DRIVER, reason) for name, reason in NEVER_TOLD.items()]
    for name, unit, source, read, interval_s in offers:
        cost = Cost.PROCESS if source == "AppleSmartBattery" else Cost.KERNEL
        sensor = Sensor(name, unit, Provenance.MEASURED, f"{_DRIVER}/{source}", _safely(read), interval_s, cost)
        try:
            sensor.read()
        except SensorError as error:
            # On external power only the draw is unknown for now; it is not refused for good.
            if not isinstance(error, NotNowError):
                refusals.append(Refusal(name, sensor.source, str(error)))
                continue
        sensors.append(sensor)
    wake_on = tuple(
        WakeOn(partial(system.open_notice, key), frozenset({key}))
        for key in (_THERMAL_KEY, _LOW_POWER_KEY, _SOURCE_KEY, _PERCENT_KEY)
    )
    return Discovery(_DRIVER, tuple(sensors), tuple(refusals), partial(discover, system), wake_on)


class NotNowError(SensorError):
    """There is such a sensor, and it has no value at present."""


def read_pressure(system: System) -> str:
    """thermal_pressure; the public NSProcessInfo is asked where the key fails. Raises OSError, RecordError."""
    try:
        return recorded.thermal_pressure(system.notify_state(_THERMAL_KEY))
    except (OSError, RecordError):
        return recorded.process_thermal_state(system.process_thermal_state())


def read_low_power(system: System) -> str:
    """Whether Low Power Mode is on: yes or no. Raises OSError, RecordError."""
    state = system.notify_state(_LOW_POWER_KEY)
    if state not in (0, 1):
        raise RecordError(f"low power mode is {state}; known are 0 and 1")
    return "yes" if state else "no"


def read_memory_level(system: System) -> str:
    """normal, warn or critical. Raises OSError, RecordError."""
    return recorded.memory_level(system.sysctl_int(_MEMORY_SYSCTL))


def read_source(registry: Registry) -> str:
    """power_source; pmset is asked where the IORegistry fails or has no battery. Raises OSError, RecordError."""
    battery = _if_any(registry)
    if battery is not None:
        return "external" if battery.external else "battery"
    return registry.pmset()[0]


def read_percent(registry: Registry) -> float:
    """battery in %, by pmset where the IORegistry fails. Raises OSError, RecordError, SensorError."""
    battery = _if_any(registry)
    if battery is not None:
        return battery.percent
    percent = registry.pmset()[1]
    if percent is None:
        raise SensorError("this Mac has no battery")
    return percent


def read_draw_w(registry: Registry) -> float:
    """What the Mac draws from its battery in W. Raises OSError, RecordError, SensorError."""
    battery = registry.battery()
    if battery.external:
        raise NotNowError("on external power the battery's current says nothing of what the machine draws")
    if battery.outflow_w <= 0:
        raise NotNowError(f"the battery reports {battery.outflow_w:g} W, and yet this Mac runs on it")
    return battery.outflow_w


def read_celsius(registry: Registry) -> float:
    """The battery's temperature in C. Raises OSError, RecordError, SensorError."""
    celsius = registry.battery().temperature_c
    if celsius is None:
        raise SensorError("the battery tells no plausible temperature")
    return celsius


def _if_any(registry: Registry) -> SmartBattery | None:
    try:
        return registry.smart_battery()
    except (OSError, RecordError):
        return None


def _safely(read: Callable[[], Value]) -> Callable[[], Value]:
    def checked() -> Value:
        try:
            return read()
        except (OSError, RecordError) as error:
            raise SensorError(str(error)) from error

    return checked
