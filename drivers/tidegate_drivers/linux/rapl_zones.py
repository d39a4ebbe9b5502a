"""The energy counters of /sys/class/powercap, each once, and which of them make up the whole."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate_drivers.linux.sysfs import entries, read_int, read_word
from tidegate_drivers.sensor import SensorError

PSYS = "psys"

_MOST_UJ = 1 << 63
# Suffixes can be hexadecimal (intel-rapl:a). A second part is a domain within the package.
_DIRECTORY = re.compile(r"(intel-rapl|intel-rapl-mmio):([0-9a-f]+)((?::[0-9a-f]+)*)")
# The kernel calls those of further packages psys-1 and so on: what each of several covers can't be told.
_ANY_PSYS = re.compile(rf"{PSYS}(-[0-9]+|@.+)?")


@dataclass(frozen=True, slots=True)
class Domain:
    """One counter: `name` as in package-0 or package-0/core; `top` for those that are no part of another."""

    path: Path
    name: str
    top: bool

    def read_j(self) -> float:
        """The counter in J since it last wrapped. Raises SensorError."""
        return read_int(self.path / "energy_uj", 0, _MOST_UJ, "uJ") / 1e6

    def range_j(self) -> float | None:
        """Where the counter wraps, in J; None when it doesn't say: the file can be unreadable, or 0."""
        try:
            return read_int(self.path / "max_energy_range_uj", 1, _MOST_UJ, "uJ") / 1e6
        except SensorError:
            return None

    @property
    def is_platform(self) -> bool:
        """Whether it counts the platform, by its name."""
        return _ANY_PSYS.fullmatch(self.name) is not None


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
        names[match[0]] = name
        # The same package is counted by MSR and by MMIO: the first, the MSR, is kept.
        if not own or (match[1] == "intel-rapl-mmio" and (name in found or nameless)):
            continue
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
    # The platform's counter holds the packages; a package's holds its cores.
    platform = [domain for domain in found if domain.top and domain.is_platform]
    return platform if len(platform) == 1 else packages_of(found)


def packages_of(found: Sequence[Domain]) -> list[Domain]:
    """The packages, none of which is a part of another."""
    return [domain for domain in found if domain.top and domain.name.startswith("package")]


def without_psys(found: Sequence[Domain]) -> list[Domain]:
    """The domains that are no counter of the platform."""
    return [domain for domain in found if not domain.is_platform]
