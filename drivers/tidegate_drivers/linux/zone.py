"""One source of a temperature of the machine: a thermal zone, or a processor's own sensor in hwmon."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tidegate_drivers.linux.constant import refuse_constant
from tidegate_drivers.linux.hwmon import TEMPERATURE_MILLIDEGREES, Channel, refuse_nothing_here
from tidegate_drivers.linux.sysfs import OutOfRangeError, UnreadableError, read_int, read_text
from tidegate_drivers.sensor import SensorError

_TRIP_MILLIDEGREES = (1, 150_000)
_PRESSURE_OF_TRIP = {"active": "fair", "passive": "serious", "hot": "critical", "critical": "critical"}
# Its trip points only ask for a notice (thermald sets them); nothing in the kernel throttles there.
_NOTICES_ONLY = frozenset({"x86_pkg_temp"})


@dataclass(frozen=True, slots=True)
class Trip:
    """A temperature at which the kernel acts, and the thermal pressure that stands for."""

    celsius: float
    pressure: str


@dataclass(frozen=True, slots=True)
class Zone:
    """A file that says millidegrees, and what it is called.

    `alive` is shared by all discoveries: the files that ever gave a plausible temperature. `steady` are sensors
    that are there as long as their processor: unlike a zone, one that is gone hides a temperature. `channel` is
    the one of hwmon that it is, which can be switched off or faulty.
    """

    file: Path
    kind: str
    alive: set[Path]
    trips: tuple[Trip, ...] = ()
    steady: bool = False
    channel: Channel | None = None

    def read_celsius(self) -> float:
        """The zone's temperature in C. Raises SensorError, also for what no zone measures."""
        if self.channel is not None:
            self.channel.refuse_faulty()
        kind = TEMPERATURE_MILLIDEGREES
        millidegrees = read_int(self.file, kind.low, kind.high, kind.written_in)
        refuse_constant(self.kind, millidegrees, self.file)
        # One that is known to work may well cool down to 0 C outdoors.
        if self.file not in self.alive:
            # Vendor kernels have zones in whole degrees and in tenths.
            refuse_nothing_here(millidegrees, self.file, per_degree=10)
            self.alive.add(self.file)
        return millidegrees / 1000

    def failed(self, error: SensorError) -> bool:
        """Whether an error of this zone hides a temperature, rather than saying that there is none."""
        gone = isinstance(error, UnreadableError) and error.gone and not self.steady
        return not (isinstance(error, OutOfRangeError) or gone)


def trips_of(directory: Path, kind: str) -> tuple[Trip, ...]:
    """The trip points of a thermal zone of this type at which the kernel does something."""
    trips: list[Trip] = []
    for index in count():
        try:
            pressure = _PRESSURE_OF_TRIP.get(read_text(directory / f"trip_point_{index}_type"))
        except UnreadableError:
            return tuple(trips)
        try:
            limits = (*_TRIP_MILLIDEGREES, "millidegrees")
            celsius = read_int(directory / f"trip_point_{index}_temp", *limits) / 1000
        except SensorError:
            continue  # 0 and -274000 are how a trip point that is switched off reads
        if pressure is not None and kind not in _NOTICES_ONLY:
            trips.append(Trip(celsius, pressure))
    return tuple(trips)
