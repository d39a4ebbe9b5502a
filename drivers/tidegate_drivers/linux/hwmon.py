"""Chips of /sys/class/hwmon (kernel: Documentation/hwmon/sysfs-interface.rst): millidegrees, mV, mA, uW, uJ.

Chips are known by `name` and label, since their numbers change from boot to boot.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tidegate_drivers.linux.constant import refuse_constant
from tidegate_drivers.linux.counter_power import CounterPower
from tidegate_drivers.linux.runtime_pm import refuse_asleep
from tidegate_drivers.linux.sysfs import (
    ImplausibleError,
    OutOfRangeError,
    UnreadableError,
    entries,
    read_int,
    read_text,
    read_word,
)
from tidegate_drivers.linux.uevents import Uevents
from tidegate_drivers.reading import POWER, Provenance, Unit
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError, Unavailable, WakeOn

_DRIVER = "hwmon"
_LIVE = Path("/")
# Nothing is decided by these; what policies know is read more often by the drivers that own it.
_INTERVAL_S = 10.0
# Their drivers suspend an idle card after up to 10 s, and each read puts that off.
_GRAPHICS = frozenset({"i915", "xe", "amdgpu", "radeon", "nouveau"})
_GRAPHICS_INTERVAL_S = 30.0


@dataclass(frozen=True, slots=True)
class Quantity:
    """How the ABI writes one kind of channel: `scale` makes `unit` of a whole number within `low` and `high`."""

    name: str
    unit: Unit
    scale: float
    low: int
    high: int
    written_in: str


TEMPERATURE_MILLIDEGREES = Quantity("temperature", Unit.CELSIUS, 1e-3, -40_000, 150_000, "millidegrees")
_QUANTITIES = {
    "temp": TEMPERATURE_MILLIDEGREES,
    "in": Quantity("voltage", Unit.VOLT, 1e-3, -100_000, 1_000_000, "mV"),
    "curr": Quantity("current", Unit.AMPERE, 1e-3, -1_000_000, 1_000_000, "mA"),
    "power": Quantity("power", Unit.WATT, 1e-6, 0, 10_000_000_000, "uW"),
    "fan": Quantity("fan", Unit.RPM, 1.0, 0, 50_000, "rpm"),
    # One that stands at 0 counts nothing.
    "energy": Quantity("energy_counter", Unit.JOULE, 1e-6, 1, (1 << 63) - 1, "uJ"),
}
_CHANNEL = re.compile(r"(temp|in|curr|power|fan|energy)([0-9]{1,3})_(input|average)")

# These measure behind dividers that only the board's maker knows, and have inputs that hang in the air.
_SUPER_IO = re.compile(r"nct[0-9]|it8[0-9]|it9[0-9]|f71|f81|w83|asus?wmisensors|sch5|smsc47|pc87|vt1211")
_WIRED = re.compile(r"SYSTIN|CPUTIN|PECI|TSI|SMBUSMASTER|CPU|MB|System")
# What is measured here again is read, with its traps, by drivers of their own.
_JETSON_METERS = frozenset({"ina3221", "ina238", "ina2xx", "ina226", "ina219"})
_OVER_SHUNTS = {
    "ina3221": ("in4", "in5", "in6", "in7"),
    **dict.fromkeys(("ina238", "ina2xx", "ina226", "ina219"), ("in0",)),
}
# ACPI000D, which measures what the power supplies of a server deliver, and the SMC of a Mac under Linux.
_METERS_OF_THE_MACHINE = frozenset({("power_meter", "power1"), ("macsmc_hwmon", "Total System Power")})
# Cores are parts of their package's reading, and a server has a hundred of them.
_PART_OF_PACKAGE = re.compile(r"Core [0-9]+")
_PART_OF_SOCKET = re.compile(r"Ecore[0-9]+")


@dataclass(frozen=True, slots=True)
class Chip:
    """One hwmon directory; `key` tells it from others of its name."""

    path: Path
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Channel:
    """One measured quantity of a chip, in the file `prefix_suffix`, as temp1 and input."""

    chip: Chip
    prefix: str
    suffix: str
    label: str

    @property
    def quantity(self) -> Quantity:
        """Unit, scale and bounds, by the letters of the prefix."""
        return _QUANTITIES[self.prefix.rstrip("0123456789")]

    def read(self) -> float:
        """The value in the quantity's unit. Raises SensorError."""
        if self.chip.name in _GRAPHICS:
            refuse_asleep(self.chip.path / "device", self.chip.key)
        self.refuse_faulty()
        kind = self.quantity
        path = self.chip.path / f"{self.prefix}_{self.suffix}"
        value = read_int(path, kind.low, kind.high, kind.written_in)
        if kind is TEMPERATURE_MILLIDEGREES:
            refuse_nothing_here(value, path)
            refuse_constant(self.chip.name, value, path)
        return value * kind.scale

    def refuse_faulty(self) -> None:
        """Raise SensorError where the channel says that it is faulty or switched off."""
        for flag, bad, words in (("fault", "1", "reports a faulty sensor"), ("enable", "0", "is switched off")):
            try:
                if read_text(self.chip.path / f"{self.prefix}_{flag}") == bad:
                    raise ImplausibleError(f"{self.chip.key}/{self.label} {words} ({self.prefix}_{flag})")
            except UnreadableError as error:
                if not error.gone:
                    raise


def refuse_nothing_here(millidegrees: int, path: Path, per_degree: int = 1) -> None:
    """Raise OutOfRangeError for what sensors say that are unconnected (0) or count so many steps per degree."""
    if 0 <= millidegrees <= 150 * per_degree:
        raise OutOfRangeError(f"{path} says {millidegrees} millidegrees, as without a sensor")


def discover(sysroot: Path = _LIVE, counters: dict[str, CounterPower] | None = None) -> Discovery:
    """Readings `temperature|voltage|current|power|fan|energy_counter/<chip>/<label>`; `power` of a server.

    `counters` outlasts one discovery.
    """
    counters = {} if counters is None else counters
    again = partial(discover, sysroot, counters)
    wake_on = (WakeOn(Uevents, frozenset({"hwmon"})),) if sysroot == _LIVE else ()
    try:
        found, faults = chips(sysroot)
    except SensorError as error:
        return Discovery(_DRIVER, unavailable=(_refused("", error),), again=again, wake_on=wake_on)
    sensors: list[Sensor] = []
    totals: list[Sensor] = []
    unavailable = [_refused("", fault) for fault in faults]
    elsewhere = _read_elsewhere(sysroot)
    for chip in found:
        if chip.name.replace("-", "_") in elsewhere:
            continue
        try:
            measured, unnamed = channels(chip)
        except SensorError as error:
            unavailable.append(_refused(f"/{chip.key}", error))
            continue
        unavailable += [_refused(f"/{chip.key}", fault) for fault in unnamed]
        if _SUPER_IO.match(chip.name) and any(channel.prefix.startswith("in") for channel in measured):
            reason = f"{chip.name} measures voltages behind dividers that only the board's maker knows"
            unavailable.append(Unavailable(f"voltage/{chip.key}", f"{_DRIVER}/{chip.key}", reason))
        sensors += [
            _sensor(channel)
            for channel in measured
            # What can't be named may be the Tdie that rules out a Tctl.
            if not _is_left_out(channel, measured) and not (unnamed and channel.label == "Tctl")
        ]
        sensors += [
            _power_of(channel, counters)
            for channel in measured
            if _counts_alone(channel, measured) and not _is_left_out(channel, measured)
        ]
        totals += [_total(channel) for channel in measured if _measures_the_machine(channel)]
    if len(totals) > 1:
        reason = f"{len(totals)} meters of the machine are registered; which measures the whole of it is unknown"
        unavailable.append(Unavailable(POWER, _DRIVER, reason))
    else:
        sensors += totals
    if not found and not unavailable:
        unavailable.append(Unavailable(_DRIVER, _DRIVER, "no chip is registered (usual in virtual machines)"))
    return Discovery(_DRIVER, tuple(sensors), tuple(unavailable), again, wake_on)


def chips(sysroot: Path) -> tuple[list[Chip], list[SensorError]]:
    """All chips with a name, and why others could not be told. Raises SensorError when there is no list."""
    return chips_of(entries(sysroot / "sys/class/hwmon"))


def chips_of(paths: Iterable[Path]) -> tuple[list[Chip], list[SensorError]]:
    """The chips of these directories, and why some could not be told."""
    named: list[tuple[Path, str]] = []
    faults: list[SensorError] = []
    for path in paths:
        try:
            # Before 3.13 the attributes sat in the parent device.
            directory, name = next(
                (directory, name)
                for directory in (path, path / "device")
                if (name := read_word(directory / "name"))
            )
        except StopIteration:
            continue  # half registered: nobody can say what it would measure
        except SensorError as error:
            faults.append(error)
            continue
        named.append((directory, name.replace("/", "_")))
    names = [name for _, name in named]
    keys = [name if names.count(name) == 1 else f"{name}@{device_of(path)}" for path, name in named]
    return [
        Chip(path, name, key if keys.count(key) == 1 else f"{key}@{index}")
        for index, ((path, name), key) in enumerate(zip(named, keys, strict=True))
    ], faults


def channels(chip: Chip) -> tuple[list[Channel], list[SensorError]]:
    """The chip's channels in the order of their names, and why others can't be named. Raises SensorError."""
    found: dict[str, Channel] = {}
    faults: dict[str, SensorError] = {}
    for path in entries(chip.path):
        match = _CHANNEL.fullmatch(path.name)
        if match is None:
            continue
        kind, number, suffix = match.groups()
        prefix = f"{kind}{number}"
        # An average is over the meter's own interval; where there is an input as well, it is the newer value.
        if prefix in found and suffix != "input":
            continue
        try:
            found[prefix] = Channel(chip, prefix, suffix, label_of(chip, prefix))
        except SensorError as error:
            faults[prefix] = error
    labels = [(channel.quantity.name, channel.label) for channel in found.values()]
    return [
        channel
        if labels.count((channel.quantity.name, channel.label)) == 1
        else replace(channel, label=f"{channel.label} {channel.prefix}")
        for channel in found.values()
    ], list(faults.values())


def label_of(chip: Chip, prefix: str) -> str:
    """The channel's label, else the channel's name, as in `temp1`. Raises SensorError."""
    label = read_word(chip.path / f"{prefix}_label")
    if not label and chip.name == "ina3221" and prefix.startswith("curr"):
        # This driver labels each channel once, at its voltage.
        label = read_word(chip.path / f"in{prefix[4:]}_label")
    return label.replace("/", "_") or prefix


def _refused(suffix: str, error: SensorError) -> Unavailable:
    return Unavailable(f"{_DRIVER}{suffix}", f"{_DRIVER}{suffix}", str(error), error.grant)


def device_of(path: Path) -> str:
    """The device that a chip belongs to, as in `1-0040`; the directory's own name where there is no link to it."""
    try:
        return (path / "device").readlink().name
    except OSError:
        return path.name


def _read_elsewhere(sysroot: Path) -> frozenset[str]:
    """Batteries (a mouse's too) and thermal zones register a chip of the same values; hwmon names know no dash."""
    try:
        supplies = [path.name for path in entries(sysroot / "sys/class/power_supply")]
    except SensorError:
        supplies = []
    return frozenset(name.replace("-", "_") for name in (*supplies, *_zone_types(sysroot)))


def _zone_types(sysroot: Path) -> Iterable[str]:
    try:
        paths = entries(sysroot / "sys/class/thermal")
    except SensorError:
        return
    for path in paths:
        if path.name.startswith("thermal_zone"):
            try:
                yield read_text(path / "type")
            except SensorError:
                continue


def _is_left_out(channel: Channel, siblings: Sequence[Channel]) -> bool:
    if channel.label == "Tctl" and any(sibling.label == "Tdie" for sibling in siblings):
        return True  # the same with an offset of up to 27 degrees, to drive fans by
    if _SUPER_IO.match(channel.chip.name) and (
        channel.prefix.startswith("in") or (channel.prefix.startswith("temp") and not _WIRED.match(channel.label))
    ):
        return True
    if is_over_shunt(channel):
        return True  # of these voltages the driver has made currents already
    if channel.chip.name in _JETSON_METERS and "NC" in channel.label.split():
        return True  # a channel that the board leaves unconnected
    if channel.chip.name == "amd_energy" and _PART_OF_SOCKET.fullmatch(channel.label):
        return True
    return channel.chip.name == "coretemp" and _PART_OF_PACKAGE.fullmatch(channel.label) is not None


def is_over_shunt(channel: Channel) -> bool:
    """Whether this is the voltage over a shunt, not that of what is measured."""
    return channel.prefix in _OVER_SHUNTS.get(channel.chip.name, ())


def _counts_alone(channel: Channel, siblings: Sequence[Channel]) -> bool:
    """Whether this is an energy counter without a power channel of its own (graphics cards have limits there)."""
    own = {channel.label, channel.prefix.replace("energy", "power")}
    powers = [sibling for sibling in siblings if sibling.quantity.name == "power"]
    return channel.quantity.name == "energy_counter" and not any(
        sibling.label in own or sibling.prefix in own for sibling in powers
    )


def _measures_the_machine(channel: Channel) -> bool:
    meant = {(channel.chip.name, channel.label), (channel.chip.name, channel.prefix)}
    return channel.quantity.name == "power" and bool(meant & _METERS_OF_THE_MACHINE)


def _sensor(channel: Channel) -> Sensor:
    name = f"{channel.quantity.name}/{channel.chip.key}/{channel.label}"
    return Sensor(
        name,
        channel.quantity.unit,
        Provenance.MEASURED,
        f"{_DRIVER}/{channel.chip.key}",
        channel.read,
        _interval_s(channel),
        Cost.DEVICE,
    )


def _power_of(counter: Channel, counters: dict[str, CounterPower]) -> Sensor:
    name = f"{POWER}/{counter.chip.key}/{counter.label}"
    read = partial(
        counters.setdefault(f"{counter.chip.path}/{counter.prefix}", CounterPower()).watts, counter.read
    )
    source = f"{_DRIVER}/{counter.chip.key}"
    return Sensor(name, Unit.WATT, Provenance.MEASURED, source, read, _interval_s(counter), Cost.DEVICE)


def _interval_s(channel: Channel) -> float:
    return _GRAPHICS_INTERVAL_S if channel.chip.name in _GRAPHICS else _INTERVAL_S


def _total(channel: Channel) -> Sensor:
    def read() -> float:
        watts = channel.read()
        if watts == 0:
            raise SensorError(f"{channel.chip.key} says 0 W, and yet this machine runs")
        return watts

    return Sensor(POWER, Unit.WATT, Provenance.MEASURED, f"{_DRIVER}/{channel.chip.key}", read, cost=Cost.DEVICE)
