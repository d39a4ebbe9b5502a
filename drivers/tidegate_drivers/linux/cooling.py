"""How hard the cooling devices work (kernel: Documentation/driver-api/thermal/sysfs-api.rst, section 2.2)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tidegate_drivers.linux.sysfs import entries, read_int, read_text, read_word
from tidegate_drivers.reading import Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

COOLING = "cooling"

_DRIVER = "cooling"
_INTERVAL_S = 10.0
_MOST_STATES = 1_000_000


def discover(sysroot: Path = Path("/")) -> Discovery:
    """`cooling/<type>` in % of what the device can do; devices of one type are one reading, the busiest."""
    again = partial(discover, sysroot)
    try:
        found, unavailable = by_type(sysroot)
    except SensorError as error:
        return Discovery(
            _DRIVER, unavailable=(Unavailable(COOLING, _DRIVER, str(error), error.grant),), again=again
        )
    # A device without a type may be the busiest of any.
    provenance = Provenance.MEASURED_PARTIAL if unavailable else Provenance.MEASURED
    if not found and not unavailable:
        unavailable.append(Unavailable(COOLING, _DRIVER, "the kernel has no cooling device here"))
    sensors = tuple(
        Sensor(
            f"{COOLING}/{kind}",
            Unit.PERCENT,
            provenance,
            f"{_DRIVER}/{kind}",
            partial(busiest_percent, alike),
            _INTERVAL_S,
        )
        for kind, alike in found.items()
    )
    return Discovery(_DRIVER, sensors, tuple(unavailable), again)


def by_type(sysroot: Path) -> tuple[dict[str, list[Path]], list[Unavailable]]:
    """The cooling devices by type, and why the type of others could not be told. Raises SensorError."""
    found: dict[str, list[Path]] = {}
    unavailable: list[Unavailable] = []
    for path in entries(sysroot / "sys/class/thermal"):
        if not path.name.startswith("cooling_device"):
            continue
        try:
            kind = read_word(path / "type").replace("/", "_")
        except SensorError as error:
            unavailable.append(Unavailable(f"{COOLING}/{path.name}", _DRIVER, str(error), error.grant))
            continue
        if kind and _has_states(path):
            found.setdefault(kind, []).append(path)
    return found, unavailable


def busiest_percent(devices: Sequence[Path]) -> float:
    """The highest state of the devices in % of its maximum. Raises SensorError: -1 is how an idle clamp reads."""
    shares: list[float] = []
    for device in devices:
        most = read_int(device / "max_state", 1, _MOST_STATES, "states")
        shares.append(100.0 * read_int(device / "cur_state", 0, most, "states") / most)
    return max(shares)


def _has_states(device: Path) -> bool:
    """False for processors without throttling states: they register a device that has nothing but its state 0."""
    try:
        return read_text(device / "max_state") != "0"
    except SensorError:
        return True  # its reading will say why it fails
