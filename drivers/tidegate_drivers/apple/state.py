"""What macOS says of heat, memory and its battery without root."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from tidegate_drivers.apple import levels, pmset
from tidegate_drivers.apple.load_meter import LoadMeter
from tidegate_drivers.apple.plist import RecordError
from tidegate_drivers.apple.pmset import Charge, Pmset
from tidegate_drivers.apple.smart_battery import SmartBattery, smart_battery
from tidegate_drivers.reading import (
    BATTERY,
    BATTERY_CYCLES,
    BATTERY_ENERGY,
    BATTERY_HEALTH,
    BATTERY_STATE,
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
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError, Unavailable, WakeOn
from tidegate_drivers.wake import Wake

LOW_POWER_MODE = "low_power_mode"
MEMORY_LEVEL = "memory_level"

NEVER_TOLD: Mapping[str, str] = {
    TEMPERATURE: "macOS tells no temperature without private interfaces; use thermal_pressure",
    THROTTLED: "macOS tells no throttling to programs; use thermal_pressure",
    MEMORY_PRESSURE: f"macOS tells a level, not a share of time: see {MEMORY_LEVEL}",
}
"""What policies know and no Mac says, with the reason."""

_Told = TypeVar("_Told", float, str)
_DRIVER = "macos"
_THERMAL_KEY = "com.apple.system.thermalpressurelevel"
_LOW_POWER_KEY = "com.apple.system.lowpowermode"
_SOURCE_KEY = "com.apple.system.powersources.source"
_PERCENT_KEY = "com.apple.system.powersources.percent"
_MEMORY_SYSCTL = "kern.memorystatus_vm_pressure_level"
_NODE = "AppleSmartBattery"
_IOREG = ("ioreg", "-a", "-r", "-n", _NODE)
_PMSET = ("pmset", "-g", "batt")
# Each read of the battery starts a process; the keys tell at once when something changed.
_BATTERY_INTERVAL_S = 10.0
_SLOW_INTERVAL_S = 30.0
_SHARED_FOR_S = 1.0


class System(Protocol):
    """What of macOS is asked (tidegate_drivers.apple.system.MacSystem). Every method raises OSError."""

    def notify_state(self, key: str) -> int:
        """The 64-bit state that was last set for a notify(3) key."""

    def open_notice(self, key: str) -> Wake:
        """A wake whose topic is the key."""

    def process_thermal_state(self) -> int:
        """NSProcessInfo.thermalState: 0 nominal to 3 critical."""

    def sysctl_int(self, name: str) -> int:
        """An integer sysctl, by its name."""

    def output_of(self, command: Sequence[str]) -> bytes:
        """A command's standard output."""


class Batteries:
    """AppleSmartBattery and pmset, each asked once where several readings want it: each answer costs a process."""

    def __init__(
        self, system: System, clock: Callable[[], float] = time.monotonic, load: LoadMeter | None = None
    ) -> None:
        self.load = load or LoadMeter()
        self._system = system
        self._clock = clock
        self._latest: dict[tuple[str, ...], tuple[float, bytes | OSError]] = {}

    def node(self) -> SmartBattery | None:
        """AppleSmartBattery, None on a Mac without that node. Raises OSError, RecordError."""
        return smart_battery(self._output_of(_IOREG))

    def battery(self) -> SmartBattery:
        """The battery. Raises OSError, RecordError, SensorError."""
        node = self.node()
        if node is None or not node.installed():
            raise SensorError("this Mac has no battery")
        return node

    def pmset(self) -> Pmset:
        """Source and charge in the words of pmset. Raises OSError, RecordError."""
        return pmset.read(self._output_of(_PMSET).decode("utf-8", "replace"))

    def charge(self) -> Charge:
        """The charge by pmset. Raises OSError, RecordError, SensorError."""
        said = self.pmset()
        if said.battery is None:
            lost = "pmset says that this Mac draws from a battery, and lists none"
            raise SensorError(said.unread or (lost if said.source == "battery" else "this Mac has no battery"))
        return said.battery

    def _output_of(self, command: tuple[str, ...]) -> bytes:
        latest = self._latest.get(command)
        if latest is None or self._clock() - latest[0] > _SHARED_FOR_S:
            try:
                latest = self._clock(), self._system.output_of(command)
            except OSError as error:
                latest = self._clock(), error
            self._latest[command] = latest
        if isinstance(latest[1], OSError):
            raise latest[1]
        return latest[1]


def discover(system: System, load: LoadMeter | None = None) -> Discovery:
    """What the battery tells, power_source, power, thermal_pressure, low_power_mode, memory_level, or why not.

    `load` outlasts one discovery.
    """
    batteries = Batteries(system, load=load)
    offers: list[tuple[str, Unit, str, Callable[[], Value], float]] = [
        (THERMAL_PRESSURE, Unit.NAME, _THERMAL_KEY, partial(read_pressure, system), 5.0),
        (LOW_POWER_MODE, Unit.NAME, _LOW_POWER_KEY, partial(read_low_power, system), 10.0),
        (MEMORY_LEVEL, Unit.NAME, _MEMORY_SYSCTL, partial(read_memory_level, system), 2.0),
        (POWER_SOURCE, Unit.NAME, _NODE, partial(read_source, batteries), _BATTERY_INTERVAL_S),
        (BATTERY, Unit.PERCENT, _NODE, partial(read_percent, batteries), _BATTERY_INTERVAL_S),
        (BATTERY_STATE, Unit.NAME, _NODE, partial(read_state, batteries), _BATTERY_INTERVAL_S),
        (POWER, Unit.WATT, _NODE, partial(read_draw_w, batteries), _BATTERY_INTERVAL_S),
        (f"{POWER}/system", Unit.WATT, _NODE, partial(read_load_w, batteries), _BATTERY_INTERVAL_S),
        (BATTERY_HEALTH, Unit.PERCENT, _NODE, partial(read_health_percent, batteries), _SLOW_INTERVAL_S),
        (BATTERY_CYCLES, Unit.COUNT, _NODE, partial(read_cycles, batteries), _SLOW_INTERVAL_S),
        ("temperature/battery", Unit.CELSIUS, _NODE, partial(read_celsius, batteries), _SLOW_INTERVAL_S),
        (BATTERY_ENERGY, Unit.WATT_HOUR, _NODE, partial(read_energy_wh, batteries), _SLOW_INTERVAL_S),
    ]
    sensors: list[Sensor] = []
    unavailable = [Unavailable(name, _DRIVER, reason) for name, reason in NEVER_TOLD.items()]
    for name, unit, source, read, interval_s in offers:
        cost = Cost.PROCESS if source == _NODE else Cost.KERNEL
        # Charge times the voltage of now, which falls as the battery empties.
        provenance = Provenance.ESTIMATED if name == BATTERY_ENERGY else Provenance.MEASURED
        sensor = Sensor(name, unit, provenance, f"{_DRIVER}/{source}", _safely(read), interval_s, cost)
        try:
            sensor.read()
        except SensorError as error:
            # On external power only the draw is unknown for now; it is not refused for good.
            if not isinstance(error, NotNowError):
                unavailable.append(Unavailable(name, sensor.source, str(error)))
                continue
        sensors.append(sensor)
    wake_on = tuple(
        WakeOn(partial(system.open_notice, key), frozenset({key}))
        for key in (_THERMAL_KEY, _LOW_POWER_KEY, _SOURCE_KEY, _PERCENT_KEY)
    )
    return Discovery(
        _DRIVER, tuple(sensors), tuple(unavailable), partial(discover, system, batteries.load), wake_on
    )


class NotNowError(SensorError):
    """There is such a sensor, and it has no value at present."""


def read_pressure(system: System) -> str:
    """thermal_pressure; the public NSProcessInfo is asked where the key fails. Raises OSError, RecordError."""
    try:
        return levels.thermal_pressure(system.notify_state(_THERMAL_KEY))
    except (OSError, RecordError):
        return levels.process_thermal_state(system.process_thermal_state())


def read_low_power(system: System) -> str:
    """Whether Low Power Mode is on: yes or no. Raises OSError, RecordError."""
    state = system.notify_state(_LOW_POWER_KEY)
    if state not in (0, 1):
        raise RecordError(f"low power mode is {state}; known are 0 and 1")
    return "yes" if state else "no"


def read_memory_level(system: System) -> str:
    """normal, warn or critical. Raises OSError, RecordError."""
    return levels.memory_level(system.sysctl_int(_MEMORY_SYSCTL))


def read_source(batteries: Batteries) -> str:
    """power_source; pmset is asked where the IORegistry doesn't tell. Raises OSError, RecordError, SensorError."""
    try:
        return _first(batteries, _source, lambda: batteries.pmset().source)
    except SensorError:
        # A controller without a battery tells as well, though nothing of a UPS.
        node = batteries.node()
        if node is None or node.installed():
            raise
        return _source(node)


def _source(node: SmartBattery) -> str:
    return "external" if node.external() else "battery"


def read_percent(batteries: Batteries) -> float:
    """battery in %, as read_source asks. Raises OSError, RecordError, SensorError."""
    return _first(batteries, SmartBattery.percent, lambda: batteries.charge().percent)


def read_state(batteries: Batteries) -> str:
    """battery_state, as read_source asks. Raises OSError, RecordError, SensorError."""

    def by_pmset() -> str:
        state = batteries.charge().state
        if state is None:
            raise SensorError("pmset tells in no known words whether the battery charges")
        return state

    return _first(batteries, SmartBattery.state, by_pmset)


def read_draw_w(batteries: Batteries) -> float:
    """The draw in W, by the battery, else the power controller. Raises OSError, RecordError, SensorError."""
    node = batteries.node()
    if node is None:
        if batteries.pmset().on_ups:
            raise SensorError("this Mac runs on a UPS, which carries other devices as well")
        raise SensorError("this Mac has no battery, and without root macOS does not say what it draws")
    try:
        return _outflow_w(node)
    except (RecordError, SensorError) as error:
        outflow = error
    try:
        return batteries.load.watts(node)
    except RecordError:
        raise outflow from None


def _outflow_w(node: SmartBattery) -> float:
    if not node.installed():
        raise SensorError("this Mac has no battery")
    if node.external():
        raise NotNowError("on external power the battery's current says nothing about what the machine draws")
    watts = node.outflow_w()
    if watts <= 0:
        raise NotNowError(f"the battery reports {watts:g} W, and yet this Mac runs on it")
    return watts


def read_load_w(batteries: Batteries) -> float:
    """What the whole Mac draws, whatever feeds it, in W. Raises OSError, RecordError, SensorError."""
    node = batteries.node()
    if node is None:
        raise SensorError("this Mac has no battery's controller, which would tell it")
    return batteries.load.watts(node)


def read_energy_wh(batteries: Batteries) -> float:
    """What the battery holds in Wh. Raises OSError, RecordError, SensorError."""
    return batteries.battery().energy_wh()


def read_health_percent(batteries: Batteries) -> float:
    """The battery's full charge in % of its design. Raises OSError, RecordError, SensorError."""
    return batteries.battery().health_percent()


def read_cycles(batteries: Batteries) -> float:
    """The battery's charge cycles. Raises OSError, RecordError, SensorError."""
    return batteries.battery().cycles()


def read_celsius(batteries: Batteries) -> float:
    """The battery's temperature in C. Raises OSError, RecordError, SensorError."""
    return batteries.battery().celsius()


def _first(batteries: Batteries, tell: Callable[[SmartBattery], _Told], by_pmset: Callable[[], _Told]) -> _Told:
    """What the IORegistry tells of a battery, else pmset; the reason is that of both where neither does."""
    fault = ""
    try:
        node = batteries.node()
        if node is not None and node.installed():
            return tell(node)
    except (OSError, RecordError) as error:
        fault = f"{error}; "
    try:
        return by_pmset()
    except (OSError, RecordError, SensorError) as error:
        raise SensorError(f"{fault}{error}") from error


def _safely(read: Callable[[], Value]) -> Callable[[], Value]:
    def checked() -> Value:
        try:
            return read()
        except (OSError, RecordError) as error:
            raise SensorError(str(error)) from error

    return checked
