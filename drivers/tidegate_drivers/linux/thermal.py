"""Temperatures and throttling from /sys/class/thermal (kernel: Documentation/driver-api/thermal/sysfs-api.rst).

Zones are known by `type`: indices change from boot to boot. Zones of the same type are read as one, the hottest.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tidegate_drivers.linux.foreign import is_of_device, is_of_supply
from tidegate_drivers.linux.processor import labelled_zones, processor_zones
from tidegate_drivers.linux.supply import Supply
from tidegate_drivers.linux.sysfs import UnreadableError, entries, read_text
from tidegate_drivers.linux.thermal_events import TOPIC, ThermalEvents
from tidegate_drivers.linux.uevents import Uevents
from tidegate_drivers.linux.zone import Zone, trips_of
from tidegate_drivers.reading import TEMPERATURE, THERMAL_PRESSURE, THERMAL_PRESSURES, Provenance, Unit
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError, Unavailable, WakeOn

_DRIVER = "thermal"
_LIVE = Path("/")
_TYPE = re.compile(r"[!-~][ -~]{0,30}")
# Informational; policies know the hottest.
_SINGLE_INTERVAL_S = 10.0
# int3400_thermal registers a policy interface as a zone that always says 20 C, and on a Jetson up to JetPack 4 the
# power chip's zone always says 100 C.
_NOT_A_SENSOR = frozenset({"INT3400 Thermal", "PMIC-Die"})
# Qualcomm's vendor kernels register voltage and current of the battery as zones. (The charge as well, as `soc`,
# which is a temperature on Rockchip; a percentage is no plausible number of millidegrees.)
_NOT_A_TEMPERATURE = re.compile(r".*(vbat|ibat|bcl).*")


def discover(sysroot: Path = _LIVE, alive: set[Path] | None = None) -> Discovery:
    """What the machine's temperatures tell: temperature, thermal_pressure and `temperature/<zone type>`.

    `alive` carries over which sensors ever worked from one discovery to the next.
    """
    alive = set() if alive is None else alive
    found = _find(sysroot, alive)
    wake_on = (WakeOn(Uevents, frozenset({"thermal", "hwmon"})), WakeOn(ThermalEvents, frozenset({TOPIC})))
    return Discovery(_DRIVER, *found, partial(discover, sysroot, alive), wake_on if sysroot == _LIVE else ())


def hottest_celsius(zones: Sequence[Zone]) -> float:
    """The highest plausible temperature of the zones. Raises SensorError when it can't be known."""
    return max(celsius for _, celsius in _answers(zones))


def pressure(zones: Sequence[Zone]) -> str:
    """The worst pressure of the trip points reached, one of THERMAL_PRESSURES. Raises SensorError."""
    reached = (
        trip.pressure for zone, celsius in _answers(zones) for trip in zone.trips if celsius >= trip.celsius
    )
    return max(reached, key=THERMAL_PRESSURES.index, default="nominal")


def _find(sysroot: Path, alive: set[Path]) -> tuple[tuple[Sensor, ...], tuple[Unavailable, ...]]:
    zones, hidden, unavailable = _class_zones(sysroot, alive)
    kinds = sorted({zone.kind for zone in zones})
    processors, untold = processor_zones(sysroot, kinds, alive)
    hidden += untold
    own = [zone for zone in zones if not is_of_device(zone.kind)]
    machine = own + processors
    labelled, untold = labelled_zones(sysroot, alive)
    if all(_is_of_supply(zone.kind, sysroot) for zone in machine):
        # A battery's temperature is a part of the machine's heat, and does not stand for the processor's.
        machine = labelled
        hidden += untold
    elif not any(map(_has_value, machine)):
        machine += labelled
    sensors = _single(zones)
    if not machine:
        reasons = list(dict.fromkeys([*hidden, *(missing.reason for missing in unavailable)]))
        if zones:
            reasons.insert(0, f"the zones are of batteries, chargers, radios or disks alone ({', '.join(kinds)})")
        reason = "; ".join(reasons) or "the kernel has no thermal zone of this machine (usual in virtual machines)"
        grant = next((missing.grant for missing in unavailable if missing.grant), "")
        nothing = tuple(Unavailable(name, _DRIVER, reason, grant) for name in (TEMPERATURE, THERMAL_PRESSURE))
        return tuple(sensors), nothing
    hidden += _failing(machine)
    # What can't be seen at all may be hotter than what can; that it is left out must show.
    provenance = Provenance.MEASURED_PARTIAL if hidden else Provenance.MEASURED
    unavailable = [Unavailable(f"{TEMPERATURE}/unread", _DRIVER, reason) for reason in hidden]
    sensors.insert(0, _celsius(TEMPERATURE, _DRIVER, machine, provenance))
    throttling = [zone for zone in zones if any(trip.pressure == "serious" for trip in zone.trips)]
    if throttling:
        source = f"{_DRIVER}/trip points of {'+'.join(sorted({zone.kind for zone in throttling}))}"
        read = partial(pressure, throttling)
        sensors.append(Sensor(THERMAL_PRESSURE, Unit.NAME, Provenance.ESTIMATED, source, read, cost=Cost.DEVICE))
    else:
        named = ", ".join(sorted({zone.kind for zone in machine}))
        reason = f"no zone of {named} has a passive trip point, so nothing says when the kernel throttles"
        unavailable.append(Unavailable(THERMAL_PRESSURE, _DRIVER, reason))
    return tuple(sensors), tuple(unavailable)


def _single(zones: Sequence[Zone]) -> list[Sensor]:
    return [
        _celsius(f"{TEMPERATURE}/{kind}", f"{_DRIVER}/{kind}", [zone for zone in zones if zone.kind == kind])
        for kind in sorted({zone.kind for zone in zones})
    ]


def _class_zones(sysroot: Path, alive: set[Path]) -> tuple[list[Zone], list[str], list[Unavailable]]:
    """The zones of the machine, why some of its zones can't be seen, and why there is no class at all."""
    try:
        paths = [path for path in entries(sysroot / "sys/class/thermal") if path.name.startswith("thermal_zone")]
    except SensorError as error:
        gone = isinstance(error, UnreadableError) and error.gone
        return [], [] if gone else [str(error)], [Unavailable(TEMPERATURE, _DRIVER, str(error), error.grant)]
    zones: list[Zone] = []
    hidden: list[str] = []
    for path in paths:
        try:
            kind = read_text(path / "type")
            if not _TYPE.fullmatch(kind):
                hidden.append(f"{path / 'type'} says {kind[:40]!r}, which is not a zone type")
            elif _is_of_host(kind, sysroot):
                zones.append(Zone(path / "temp", kind, alive, trips_of(path, kind)))
        except SensorError as error:
            # Half-registered zones exist; without a type nobody can say what they would measure.
            if not (isinstance(error, UnreadableError) and error.gone):
                hidden.append(str(error))
    return zones, hidden, []


def _has_value(zone: Zone) -> bool:
    try:
        zone.read_celsius()
    except SensorError:
        return False
    return True


def _failing(zones: Sequence[Zone]) -> list[str]:
    reasons: list[str] = []
    for zone in zones:
        try:
            zone.read_celsius()
        except SensorError as error:
            if zone.failed(error) and zone.file not in zone.alive:
                reasons.append(f"{zone.kind}: {error}")
    return reasons


def _answers(zones: Sequence[Zone]) -> list[tuple[Zone, float]]:
    answers: list[tuple[Zone, float]] = []
    reasons: list[str] = []
    for zone in zones:
        try:
            answers.append((zone, zone.read_celsius()))
        except SensorError as error:
            # A zone without a value (powered down, unplugged) or one that never worked is no part of the
            # machine's heat. One that worked and now fails may be the hottest: then the maximum is unknown.
            if zone.file in zone.alive and zone.failed(error):
                raise SensorError(f"{zone.kind} may be the hottest zone, and {error}") from error
            reasons.append(f"{zone.kind}: {error}")
    if not answers:
        raise SensorError("no zone has a plausible temperature; " + "; ".join(reasons))
    return answers


def _is_of_host(kind: str, sysroot: Path) -> bool:
    # Every power supply with a temperature registers a zone named after itself, a mouse's battery too.
    supply = Supply(sysroot / "sys/class/power_supply" / kind.replace("/", "_"))
    if kind in _NOT_A_SENSOR or _NOT_A_TEMPERATURE.fullmatch(kind):
        return False
    # A zone may well be called virtual-skin: a dummy's is that of a supply.
    if supply.is_dummy() and (supply.kind() or is_of_supply(kind)):
        return False
    return not supply.is_peripheral()


def _is_of_supply(kind: str, sysroot: Path) -> bool:
    if is_of_supply(kind):
        return True
    try:
        return Supply(sysroot / "sys/class/power_supply" / kind.replace("/", "_")).kind() != ""
    except SensorError:
        return True


def _celsius(
    name: str, source: str, zones: Sequence[Zone], provenance: Provenance = Provenance.MEASURED
) -> Sensor:
    interval_s = 2.0 if name == TEMPERATURE else _SINGLE_INTERVAL_S
    return Sensor(name, Unit.CELSIUS, provenance, source, partial(hottest_celsius, zones), interval_s, Cost.DEVICE)
