"""Any channel of a hwmon chip as the machine's meter: a power, a voltage times a current, or an energy's rise."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tidegate_drivers.linux.counter_power import CounterPower
from tidegate_drivers.linux.hwmon import Channel, Chip, channels, chips, device_of, is_over_shunt
from tidegate_drivers.meters.address import ChipMeter
from tidegate_drivers.reading import POWER, Provenance, Unit
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError, Unavailable

_DRIVER = "meter"
_MOST_W = 100_000.0
_LISTED = 12


def discover(address: ChipMeter, sysroot: Path, counter: CounterPower | None = None) -> Discovery:
    """`power` by that channel, or why not and what is there instead; `counter` outlasts one discovery."""
    counter = counter or CounterPower()
    again = partial(discover, address, sysroot, counter)
    source = f"{_DRIVER}/{address.chip}/{address.channel}"
    try:
        read = _meter(address, sysroot, counter)
    except SensorError as error:
        return Discovery(_DRIVER, unavailable=(Unavailable(POWER, source, str(error), error.grant),), again=again)
    sensor = Sensor(POWER, Unit.WATT, Provenance.MEASURED, source, partial(_positive, read), cost=Cost.DEVICE)
    return Discovery(_DRIVER, (sensor,), again=again)


def _positive(read: Callable[[], float]) -> float:
    watts = read()
    if watts < 0:
        raise SensorError(f"the meter says {watts:g} W, as one does whose IN+ and IN- are swapped")
    if not 0 < watts <= _MOST_W:
        raise SensorError(f"the meter says {watts:g} W, and yet this machine runs")
    return watts


def _meter(address: ChipMeter, sysroot: Path, counter: CounterPower) -> Callable[[], float]:
    chip = _chip(address.chip, sysroot)
    measured, faults = channels(chip)
    ways = _ways(measured, counter)
    own = [channel.prefix for channel in measured if address.channel in (channel.prefix, channel.label)]
    # A voltage and its current are one way, and mostly have one label.
    different = list(dict.fromkeys(ways[prefix] for prefix in own if prefix in ways))
    if len(different) == 1:
        return different[0]
    if faults and not different:
        raise faults[0]
    offered = ", ".join(_offered(measured, ways)) or "nothing that is a power, or a voltage with its current"
    what = "no such channel is" if not different else f"{len(different)} channels are"
    raise SensorError(f"{what} called {address.channel} on {chip.key}; it has {offered}")


def _chip(named: str, sysroot: Path) -> Chip:
    found, faults = chips(sysroot)
    name, _, device = named.partition("@")
    fitting = [
        chip
        for chip in found
        if chip.key == named
        or (chip.name == name and (not device or device in (device_of(chip.path), chip.path.name)))
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise SensorError(f"{len(fitting)} chips are called {name}; name one: {_listed(fitting)}")
    if faults:
        raise faults[0]
    raise SensorError(f"no chip is called {named}; there are {_listed(found) or 'none at all'}")


def _ways(measured: Sequence[Channel], counter: CounterPower) -> dict[str, Callable[[], float]]:
    """How each channel gives a power, by its file's name."""
    ways: dict[str, Callable[[], float]] = {}
    by_prefix = {channel.prefix: channel for channel in measured if not is_over_shunt(channel)}
    for prefix, channel in by_prefix.items():
        if prefix.startswith("power"):
            ways[prefix] = channel.read
        elif prefix.startswith("energy"):
            ways[prefix] = partial(counter.watts, channel.read)
        elif prefix.startswith("in") and (current := by_prefix.get(f"curr{prefix[2:]}")) is not None:
            ways[prefix] = ways[current.prefix] = partial(_product_w, channel, current)
    return ways


def _product_w(voltage: Channel, current: Channel) -> float:
    return voltage.read() * current.read()


def _offered(measured: Sequence[Channel], ways: dict[str, Callable[[], float]]) -> list[str]:
    offered = []
    for channel in measured:
        if channel.prefix not in ways or channel.prefix.startswith("curr"):
            continue
        times = f" x curr{channel.prefix[2:]}" if channel.prefix.startswith("in") else ""
        label = f" ({channel.label})" if channel.label != channel.prefix else ""
        offered.append(f"{channel.prefix}{times}{label}")
    return offered[:_LISTED]


def _listed(found: Sequence[Chip]) -> str:
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return ", ".join(chip.key for chip in found[:_LISTED]) + more
