"""Temperatures and throttling from /sys/class/thermal (kernel: Documentation/driver-api/thermal/sysfs-api.rst).

Zones are known by `type`: indices change from boot to boot. Zones of the same type are read as one, the hottest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from drivers.linux.supply import Supply
from drivers.linux.sysfs import OutOfRangeError, UnreadableError, entries, grant_for, read_int, read_text
from drivers.reading import TEMPERATURE, THERMAL_PRESSURE, THERMAL_PRESSURES, Provenance, Unit
from drivers.sensor import Discovery, Refusal, Sensor, SensorError

_DRIVER = "thermal"
# Zones that are powered down or not wired say -44000, -256000 or -274000; parts are specified for -40 to 125 C.
_PLAUSIBLE_MILLIDEGREES = (-40_000, 150_000)
_TRIP_MILLIDEGREES = (1, 150_000)
_PRESSURE_OF_TRIP = {"active": "fair", "passive": "serious", "hot": "critical", "critical": "critical"}
_TYPE = re.compile(r"[!-~][ -~]{0,30}")
# int3400_thermal registers a policy interface as a zone that always says 20 C.
_NOT_A_SENSOR = frozenset({"INT3400 Thermal"})


@dataclass(frozen=True, slots=True)
class Trip:
    """A temperature at which the kernel acts, and the thermal pressure that stands for."""

    celsius: float
    pressure: str


@dataclass(slots=True)
class Zone:
    """One thermal zone; remembers whether it ever gave a plausible temperature."""

    path: Path
    kind: str
    trips: tuple[Trip, ...] = ()
    has_answered: bool = field(default=False, init=False)

    def read_celsius(self) -> float:
        """The zone's temperature. Raises SensorError."""
        celsius = read_int(self.path / "temp", *_PLAUSIBLE_MILLIDEGREES, "millidegrees") / 1000
        self.has_answered = True
        return celsius


def discover(sysroot: Path = Path("/")) -> Discovery:
    """What the thermal zones tell: temperature, thermal_pressure and `temperature/<zone type>`."""
    root = sysroot / "sys/class/thermal"
    try:
        paths = [path for path in entries(root) if path.name.startswith("thermal_zone")]
    except SensorError as error:
        return _nothing(str(error), grant_for(error))
    zones = [zone for zone in map(_zone, paths) if zone is not None and _is_of_host(zone, sysroot)]
    if not zones:
        return _nothing("the kernel has no thermal zone of this machine (usual in virtual machines)")

    kinds = sorted({zone.kind for zone in zones})
    sensors = [_celsius(TEMPERATURE, _DRIVER, zones)]
    for kind in kinds:
        alike = [zone for zone in zones if zone.kind == kind]
        sensors.append(_celsius(f"{TEMPERATURE}/{kind}", f"{_DRIVER}/{kind}", alike))
    throttling = [zone for zone in zones if any(trip.pressure == "serious" for trip in zone.trips)]
    if not throttling:
        reason = (
            f"no zone of {', '.join(kinds)} has a passive trip point, so nothing says when the kernel throttles"
        )
        return Discovery(_DRIVER, tuple(sensors), (Refusal(THERMAL_PRESSURE, _DRIVER, reason),))
    sensors.append(
        Sensor(
            THERMAL_PRESSURE,
            Unit.NAME,
            Provenance.ESTIMATED,
            f"{_DRIVER}/trip points of {'+'.join(sorted({zone.kind for zone in throttling}))}",
            lambda: pressure(throttling),
            may_block=True,
        )
    )
    return Discovery(_DRIVER, tuple(sensors))


def hottest_celsius(zones: Sequence[Zone]) -> float:
    """The highest plausible temperature of the zones. Raises SensorError when it can't be known."""
    return max(celsius for _, celsius in _answers(zones))


def pressure(zones: Sequence[Zone]) -> str:
    """The worst pressure of the trip points reached, one of THERMAL_PRESSURES. Raises SensorError."""
    reached = (
        trip.pressure for zone, celsius in _answers(zones) for trip in zone.trips if celsius >= trip.celsius
    )
    return max(reached, key=THERMAL_PRESSURES.index, default="nominal")


def _answers(zones: Sequence[Zone]) -> list[tuple[Zone, float]]:
    answers: list[tuple[Zone, float]] = []
    reasons: list[str] = []
    for zone in zones:
        try:
            answers.append((zone, zone.read_celsius()))
        except SensorError as error:
            # A zone without a value (powered down, unplugged) or one that never worked is no part of the
            # machine's heat. One that worked and now fails may be the hottest: then the maximum is unknown.
            if zone.has_answered and not _says_nothing(error):
                raise SensorError(f"{zone.kind} may be the hottest zone, and {error}") from error
            reasons.append(f"{zone.kind}: {error}")
    if not answers:
        raise SensorError("no zone has a plausible temperature; " + "; ".join(reasons))
    return answers


def _says_nothing(error: SensorError) -> bool:
    return isinstance(error, OutOfRangeError) or (isinstance(error, UnreadableError) and error.gone)


def _zone(path: Path) -> Zone | None:
    try:
        kind = read_text(path / "type")
    except UnreadableError:
        kind = ""
    # Half-registered zones exist; without a type nobody can say what they would measure.
    return Zone(path, kind, _trips(path)) if _TYPE.fullmatch(kind) else None


def _trips(path: Path) -> tuple[Trip, ...]:
    trips: list[Trip] = []
    for index in count():
        try:
            kind = read_text(path / f"trip_point_{index}_type")
        except UnreadableError:
            return tuple(trips)
        try:
            limits = (*_TRIP_MILLIDEGREES, "millidegrees")
            celsius = read_int(path / f"trip_point_{index}_temp", *limits) / 1000
        except SensorError:
            continue  # 0 and -274000 are how a trip point that is switched off reads
        if kind in _PRESSURE_OF_TRIP:
            trips.append(Trip(celsius, _PRESSURE_OF_TRIP[kind]))
    return tuple(trips)


def _is_of_host(zone: Zone, sysroot: Path) -> bool:
    # Every power supply with a temperature registers a zone named after itself, a mouse's battery too.
    supply = Supply(sysroot / "sys/class/power_supply" / zone.kind.replace("/", "_"))
    try:
        return zone.kind not in _NOT_A_SENSOR and not supply.is_peripheral()
    except SensorError:
        return False


def _celsius(name: str, source: str, zones: Sequence[Zone]) -> Sensor:
    # may_block: some zones sit behind firmware or I2C and can take seconds to answer.
    return Sensor(name, Unit.CELSIUS, Provenance.MEASURED, source, lambda: hottest_celsius(zones), may_block=True)


def _nothing(reason: str, grant: str = "") -> Discovery:
    refusals = tuple(Refusal(name, _DRIVER, reason, grant) for name in (TEMPERATURE, THERMAL_PRESSURE))
    return Discovery(_DRIVER, refusals=refusals)
