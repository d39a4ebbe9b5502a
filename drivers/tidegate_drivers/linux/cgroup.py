"""Memory limits of this process's control groups (kernel: admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst).

A container or a unit with MemoryMax is killed for memory that the machine still has plenty of.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tidegate_drivers.linux.sysfs import ImplausibleError, UnreadableError, parse_int, read_text

_MOST_BYTES = 1 << 63
# "No limit" in v1 is the largest page-aligned number; nothing of that size exists either.
_UNLIMITED_BYTES = 1 << 60
_LINE = re.compile(r"([0-9]+):([^:]*):(/.*)")
_INACTIVE_FILE = re.compile(r"^(?:total_)?inactive_file ([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a version of the interface calls its files."""

    mounts: tuple[str, ...]
    limits: tuple[str, ...]
    usage: str


V2 = Layout(("sys/fs/cgroup", "sys/fs/cgroup/unified"), ("memory.max", "memory.high"), "memory.current")
V1 = Layout(("sys/fs/cgroup/memory",), ("memory.limit_in_bytes",), "memory.usage_in_bytes")


@dataclass(frozen=True, slots=True)
class Group:
    """One control group's directory, and how its files are called."""

    directory: Path
    layout: Layout

    def available_bytes(self) -> float | None:
        """What is left under this group's own limit, None when it has none. Raises SensorError.

        Memory of files that were not used lately counts as free, as the kubelet counts it: it goes first.
        """
        limits = [limit for name in self.layout.limits if (limit := self._limit_bytes(name)) is not None]
        if not limits:
            return None
        usage = parse_int(read_text(self.directory / self.layout.usage), 0, _MOST_BYTES, "bytes", self._where())
        reclaimable = min(usage, self._inactive_file_bytes())
        return float(max(0, min(limits) - usage + reclaimable))

    def _limit_bytes(self, name: str) -> int | None:
        try:
            text = read_text(self.directory / name)
        except UnreadableError as error:
            # The root group has no such file, nor has a group without the memory controller.
            if error.gone:
                return None
            raise
        if text == "max":
            return None
        limit = parse_int(text, 0, _MOST_BYTES, "bytes", f"{self.directory / name}")
        return limit if limit < _UNLIMITED_BYTES else None

    def _inactive_file_bytes(self) -> int:
        path = self.directory / "memory.stat"
        try:
            found = _INACTIVE_FILE.findall(read_text(path))
        except UnreadableError as error:
            if error.gone:
                return 0
            raise
        if not found:
            raise ImplausibleError(f"{path} names no inactive_file")
        # v1 lists the group's own pages first and those of its whole subtree (total_) after them.
        return int(found[-1])

    def _where(self) -> str:
        return str(self.directory / self.layout.usage)


def groups(sysroot: Path) -> tuple[Group, ...]:
    """The groups of this process that can limit its memory, innermost first. Raises SensorError."""
    try:
        text = read_text(sysroot / "proc/self/cgroup")
    except UnreadableError as error:
        if error.gone:
            return (*_ancestors(sysroot, V2, "/"), *_ancestors(sysroot, V1, "/"))
        raise
    found: list[Group] = []
    # Every process is in some group: a file without one line is no answer.
    for line in text.splitlines() or [text]:
        match = _LINE.fullmatch(line)
        if match is None:
            raise ImplausibleError(
                f"{sysroot / 'proc/self/cgroup'} says {line[:40]!r}, not hierarchy:controllers:path"
            )
        number, controllers, path = match.groups()
        if number == "0" and not controllers:
            found += _ancestors(sysroot, V2, path)
        elif "memory" in controllers.split(","):
            found += _ancestors(sysroot, V1, path)
    return tuple(found)


def limiting(found: Iterable[Group]) -> tuple[Group, ...]:
    """Those of the groups that have a limit now. Raises SensorError."""
    return tuple(group for group in found if group.available_bytes() is not None)


def _ancestors(sysroot: Path, layout: Layout, path: str) -> Iterator[Group]:
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for mount in layout.mounts:
        # In a cgroup namespace the path is the host's and the mount begins at the container: the outermost
        # directory is then the container's own group.
        for depth in range(len(parts), -1, -1):
            yield Group(sysroot.joinpath(mount, *parts[:depth]), layout)
