"""Energy counters of processors in /sys/class/powercap (kernel: Documentation/power/powercap/powercap.rst).

`energy_uj` is for root since CVE-2020-8694. Names follow the kernel: AMD's counters are `intel-rapl` as well.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drivers.energy import CounterMeter, Moment
from drivers.linux.sysfs import entries, read_int, read_word
from drivers.moment import moment
from drivers.reading import ENERGY, POWER, Provenance, Unit
from drivers.sensor import Discovery, Refusal, Sensor, SensorError

ENERGY_COUNTER = "energy_counter"
"""A counter as it stands; it wraps."""

_DRIVER = "rapl"
_MOST_UJ = 1 << 63
_INTERVAL_S = 2.0
# Suffixes can be hexadecimal (intel-rapl:a). A second part is a domain within the package.
_DIRECTORY = re.compile(r"(intel-rapl|intel-rapl-mmio):([0-9a-f]+)((?::[0-9a-f]+)*)")
# The counter moves about every millisecond; reads that are closer together than this measure its steps.
_LEAST_SPAN_S = 0.1
_PSYS = "psys"
# An attribute of the hosts that really hold a counter; children of a package are told apart by their own name.
_UDEV_RULE = (
    'echo \'SUBSYSTEM=="powercap", ACTION=="add", RUN+="/bin/chmod a+r /sys%p/energy_uj"\''
    " | sudo tee /etc/udev/rules.d/70-tidegate-rapl.rules && sudo udevadm trigger -c add -s powercap"
)


@dataclass(frozen=True, slots=True)
class Domain:
    """One counter: `name` as in package-0 or package-0/core; `top` for those that are no part of another."""

    path: Path
    name: str
    top: bool

    def read_j(self) -> float:
        """The counter in J. Raises SensorError."""
        return read_int(self.path / "energy_uj", 0, _MOST_UJ, "uJ") / 1e6

    def range_j(self) -> float | None:
        """Where the counter wraps, in J; None when it doesn't say: the file can be unreadable, or 0."""
        try:
            return read_int(self.path / "max_energy_range_uj", 1, _MOST_UJ, "uJ") / 1e6
        except SensorError:
            return None


class Meter:
    """Power and energy of one domain or of several together, since the first read."""

    def __init__(self, domains: Sequence[Domain], now: Callable[[], Moment] = moment) -> None:
        self._domains = domains
        self._now = now
        self._meters = [CounterMeter(domain.range_j()) for domain in domains]
        self._read_at: Moment | None = None
        self._power_w: float | None = None

    def power_w(self) -> float:
        """The mean power since the read before. Raises SensorError."""
        self._refresh()
        if self._power_w is None:
            raise SensorError("power is the rise of a counter between two reads, and this was the first")
        if self._power_w == 0:
            raise SensorError("the energy counter does not move")
        return self._power_w

    def energy_j(self) -> float:
        """The energy since the first read. Raises SensorError."""
        self._refresh()
        energy_j = sum(meter.energy_j for meter in self._meters)
        if energy_j == 0:
            raise SensorError("energy is the rise of a counter since the first read, and it has not risen yet")
        return energy_j

    def _refresh(self) -> None:
        now = self._now()
        # The power and the energy sensor share one look at the counters.
        if self._read_at is not None and 0 <= now.awake_s - self._read_at.awake_s < _LEAST_SPAN_S:
            return
        counted = [domain.read_j() for domain in self._domains]
        powers = [meter.add(joules, now) for meter, joules in zip(self._meters, counted, strict=True)]
        known = [power for power in powers if power is not None]
        self._read_at = now
        self._power_w = sum(known) if len(known) == len(powers) else None


def discover(sysroot: Path = Path("/"), meters: dict[str, Meter] | None = None) -> Discovery:
    """`power` and `energy` of the processors, and those of each domain.

    `meters` carries what was counted so far from one discovery to the next.
    """
    meters = {} if meters is None else meters
    again = partial(discover, sysroot, meters)
    try:
        found, nameless = domains(sysroot)
    except SensorError as error:
        return Discovery(_DRIVER, refusals=_refused(str(error), error.grant), again=again)
    if not found and not nameless:
        reason = "no energy counters are registered (another processor, a virtual machine, or no driver loaded)"
        return Discovery(_DRIVER, refusals=_refused(reason), again=again)
    readable: list[Domain] = []
    refusals = [Refusal(f"{POWER}/unnamed", _DRIVER, reason) for reason in nameless]
    for domain in found:
        try:
            domain.read_j()
            readable.append(domain)
        except SensorError as error:
            grant = _UDEV_RULE if error.grant else ""
            refusals.append(Refusal(f"{POWER}/{domain.name}", f"{_DRIVER}/{domain.name}", str(error), grant))
    sensors: list[Sensor] = []
    total = total_of(found)
    unread = [
        refusal for refusal in refusals if refusal.name.endswith((*(each.name for each in total), "unnamed"))
    ]
    if total and not unread:
        source = f"{_DRIVER}/{'+'.join(domain.name for domain in total)}"
        meter = _meter(meters, total)
        # Processors alone, or what the vendor calls the platform: never surely the whole machine.
        partly = Provenance.MEASURED_PARTIAL
        sensors.append(Sensor(POWER, Unit.WATT, partly, source, meter.power_w, _INTERVAL_S))
        sensors.append(Sensor(ENERGY, Unit.JOULE, partly, source, meter.energy_j, _INTERVAL_S))
    else:
        reason = unread[0].reason if unread else "no counter of a package or of the platform is among them"
        refusals += _refused(reason, unread[0].grant if unread else "")
    for domain in readable:
        sensors += _of_domain(domain, _meter(meters, [domain]))
    return Discovery(_DRIVER, tuple(sensors), tuple(refusals), again)


def domains(sysroot: Path) -> tuple[list[Domain], list[str]]:
    """All counters, each once, and why some can't be told. Raises SensorError when the class can't be listed."""
    found: dict[str, Domain] = {}
    names: dict[str, str] = {}
    nameless: list[str] = []
    # intel-rapl sorts before intel-rapl-mmio by key, and a package before its parts.
    paths = {path.name: path for path in _directories(sysroot / "sys/class/powercap")}
    matches = (_DIRECTORY.fullmatch(name) for name in paths)
    for match in sorted(filter(None, matches), key=lambda match: (match[1], len(match[0]), match[0])):
        path = paths[match[0]]
        try:
            own = read_word(path / "name").replace("/", "_")
        except SensorError as error:
            nameless.append(str(error))
            continue
        parent = names.get(match[0].rpartition(":")[0])
        name = f"{parent}/{own}" if match[3] and parent else own
        # The same package is counted by MSR and by MMIO: the first, the MSR, is kept.
        if not own or (match[1] == "intel-rapl-mmio" and (name in found or nameless)):
            continue
        names[match[0]] = name
        unique = name if name not in found else f"{name}@{match[0].partition(':')[2].replace(':', '.')}"
        found[unique] = Domain(path, unique, top=not match[3])
    return list(found.values()), nameless


def _directories(root: Path) -> list[Path]:
    """Control types, zones and the zones within, as the class lists them or as they lie in each other."""
    found = [path for path in entries(root) if path.name.startswith("intel-rapl")]
    listed = {path.name for path in found}
    for path in found:  # grows while it is gone through: zones lie in zones
        # Bounded: a zone's own name begins with its parent's.
        inner = (each for each in _list(path) if each.name.startswith(f"{path.name}:") and each.name not in listed)
        for each in inner:
            listed.add(each.name)
            found.append(each)
    return found


def _list(directory: Path) -> list[Path]:
    try:
        return entries(directory)
    except SensorError:
        return []


def total_of(found: Sequence[Domain]) -> list[Domain]:
    """The domains whose sum is the most of the machine, without counting anything twice."""
    top = [domain for domain in found if domain.top]
    # The platform's counter holds the packages; a package's holds its cores.
    platform = [domain for domain in top if domain.name == _PSYS]
    return platform or [domain for domain in top if domain.name.startswith("package")]


def _meter(meters: dict[str, Meter], of: Sequence[Domain]) -> Meter:
    key = "+".join(str(domain.path) for domain in of) + f" as {len(of)}"
    return meters.setdefault(key, Meter(of))


def _of_domain(domain: Domain, meter: Meter) -> list[Sensor]:
    source = f"{_DRIVER}/{domain.name}"
    measured = Provenance.MEASURED
    return [
        Sensor(f"{POWER}/{domain.name}", Unit.WATT, measured, source, meter.power_w, _INTERVAL_S),
        Sensor(f"{ENERGY_COUNTER}/{domain.name}", Unit.JOULE, measured, source, domain.read_j, _INTERVAL_S),
    ]


def _refused(reason: str, grant: str = "") -> tuple[Refusal, ...]:
    return tuple(Refusal(name, _DRIVER, reason, grant) for name in (POWER, ENERGY))
