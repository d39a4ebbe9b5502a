"""What Linux's /proc says of one process at one moment."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """`at_s` is monotonic, `cpu_s` without children, `wakeups` the voluntary context switches of all threads.

    `private_bytes` are what the process alone would give back. None is what the kernel does not tell.
    """

    at_s: float
    pss_bytes: int | None
    rss_bytes: int | None
    private_bytes: int | None
    cpu_s: float
    wakeups: int
    written_bytes: int | None


def sample(pid: int, proc: Path = PROC) -> Sample:
    """Raises OSError when the process is gone, and ValueError for what is no /proc of Linux."""
    at = proc / str(pid)
    memory = _fields(at / "smaps_rollup")
    private = (memory.get("Private_Clean"), memory.get("Private_Dirty"))
    return Sample(
        at_s=time.monotonic(),
        pss_bytes=_kib(memory.get("Pss")),
        rss_bytes=_kib(memory.get("Rss")),
        private_bytes=None if None in private else sum(_kib(each) or 0 for each in private),
        cpu_s=_cpu_s(at / "stat"),
        wakeups=sum(_switches(thread) for thread in (at / "task").iterdir()),
        written_bytes=_written(at / "io"),
    )


def _cpu_s(stat: Path) -> float:
    # The name in brackets may hold spaces; utime and stime are the 14th and 15th of proc_pid_stat(5).
    after = stat.read_text().rpartition(")")[2].split()
    return (int(after[11]) + int(after[12])) / _TICKS_PER_S


def _switches(thread: Path) -> int:
    try:
        return int(_fields(thread / "status")["voluntary_ctxt_switches"])
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended since the directory was listed


def _written(io: Path) -> int | None:
    """Bytes that went to a disk; None where the kernel keeps no account or this user may not read it."""
    try:
        return int(_fields(io)["write_bytes"])
    except (FileNotFoundError, PermissionError):
        return None


def _fields(file: Path) -> dict[str, str]:
    return {
        name: value.strip()
        for name, found, value in (line.partition(":") for line in file.read_text().splitlines())
        if found
    }


def _kib(value: str | None) -> int | None:
    return None if value is None else int(value.removesuffix("kB")) << 10
