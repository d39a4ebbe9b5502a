"""Clock frequencies and their limits (kernel: Documentation/admin-guide/pm/cpufreq.rst), in kHz there."""

import errno
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tidegate_drivers.linux.sysfs import UnreadableError, entries, read_int
from tidegate_drivers.reading import Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

FREQUENCY = "frequency"
FREQUENCY_LIMIT = "frequency_limit"

_DRIVER = "cpufreq"
_INTERVAL_S = 5.0
_LIMITS_KHZ = (1_000, 20_000_000, "kHz")
_NUMBER = re.compile(r"[0-9]{1,4}")


def policies(sysroot: Path) -> list[Path]:
    """The directories of the frequency policies, by number. Raises SensorError."""
    cpus = sysroot / "sys/devices/system/cpu"
    found = _numbered(entries(cpus / "cpufreq"), "policy")
    # Before 4.3 each processor had a directory of its own.
    return found or [cpu / "cpufreq" for cpu in _numbered(entries(cpus), "cpu") if (cpu / "cpufreq").is_dir()]


def _numbered(paths: Sequence[Path], prefix: str) -> list[Path]:
    numbers = {path: path.name.removeprefix(prefix) for path in paths if path.name.startswith(prefix)}
    return sorted((path for path, number in numbers.items() if _NUMBER.fullmatch(number)), key=_number)


def _number(path: Path) -> int:
    return int(path.name.lstrip("abcdefghijklmnopqrstuvwxyz"))


def discover(sysroot: Path = Path("/")) -> Discovery:
    """`frequency/<policy>` and `frequency_limit/<policy>`, one a kind of core, named by its first policy."""
    again = partial(discover, sysroot)
    try:
        clusters, unknown = _clusters(policies(sysroot))
    except SensorError as error:
        return _nothing(f"{error}; a virtual machine, or a board without frequency scaling", error.grant, again)
    if not clusters and not unknown:
        return _nothing("no frequency policy is registered", "", again)
    unavailable = [
        Unavailable(f"{FREQUENCY}/{policy.name}", _DRIVER, reason) for policy, reason in unknown.items()
    ]
    # A policy that can't be placed may be the fastest of any kind of core.
    provenance = Provenance.MEASURED_PARTIAL if unknown else Provenance.MEASURED
    sensors: list[Sensor] = []
    for cluster in clusters:
        source = f"{_DRIVER}/{cluster[0].name}"
        for name, file in ((FREQUENCY, "scaling_cur_freq"), (FREQUENCY_LIMIT, "scaling_max_freq")):
            read = partial(fastest_hz, cluster, file)
            reading = f"{name}/{cluster[0].name}"
            sensors.append(Sensor(reading, Unit.HERTZ, provenance, source, read, _INTERVAL_S))
    return Discovery(_DRIVER, tuple(sensors), tuple(unavailable), again)


def fastest_hz(cluster: Sequence[Path], file: str) -> float:
    """The highest value of a cluster's policies, in Hz. Raises SensorError."""
    running_khz: list[int] = []
    for policy in cluster:
        try:
            running_khz.append(read_int(policy / file, *_LIMITS_KHZ))
        except SensorError as error:
            if not _is_off(error):
                raise
    if not running_khz:
        raise SensorError(f"all cores of {cluster[0].name} and its like are switched off")
    return max(running_khz) * 1000.0


def _is_off(error: SensorError) -> bool:
    """Whether a policy answers so because all of its cores are switched off (kernel: cpufreq.c, show)."""
    return isinstance(error, UnreadableError) and error.code == errno.EBUSY


def _clusters(found: Sequence[Path]) -> tuple[list[list[Path]], dict[Path, str]]:
    """Policies of one top frequency together (a server has a hundred alike, a phone chip three kinds of core).

    Also says why some can't be placed.
    """
    unknown: dict[Path, str] = {}
    clusters: dict[int, list[Path]] = {}
    for policy in found:
        try:
            top_khz = read_int(policy / "cpuinfo_max_freq", *_LIMITS_KHZ)
        except SensorError as error:
            if not _is_off(error):
                unknown[policy] = str(error)
            continue
        clusters.setdefault(top_khz, []).append(policy)
    return list(clusters.values()), unknown


def _nothing(reason: str, grant: str, again: partial[Discovery]) -> Discovery:
    return Discovery(_DRIVER, unavailable=(Unavailable(FREQUENCY, _DRIVER, reason, grant),), again=again)
