"""Reports of workers that ended unasked, as files in the state directory: the newest few, each of bounded size."""

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from tidegate.files import replace_file

DIRECTORY = "crashes"
KEPT = 10
STACK_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class CrashReport:
    """How a worker ended. `resident_bytes` is as last seen, None where it never was; `stack` may be empty."""

    at: str
    version: str
    pid: int
    engine: str
    point: str
    bundle: str | None
    reason: str
    lived_s: float
    resident_bytes: int | None
    stack: str


class CrashReports:
    """The reports of one state directory. Nothing here raises for a disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, report: CrashReport) -> Path | None:
        """Write a report down and drop the oldest; None where it can't be written."""
        path = self._directory / f"{report.at.replace(':', '')}-{report.pid}.json"
        try:
            replace_file(path, json.dumps(asdict(report), indent=2) + "\n", synced=False)
            for old in self.paths()[:-KEPT]:
                old.unlink()
        except OSError:
            return None
        return path

    def paths(self) -> Sequence[Path]:
        """Where they are, oldest first."""
        with suppress(OSError):
            return tuple(sorted(self._directory.glob("*.json")))
        return ()


def now_text() -> str:
    """The time as it stands in a report, sortable."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def stack_file() -> IO[bytes]:
    """An unnamed file for a dying worker to write its stack to; in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("tidegate-crash"), "w+b", buffering=0)  # noqa: PTH123 - it has no path
    return tempfile.TemporaryFile(buffering=0)


def read_stack(file: IO[bytes]) -> str:
    """What was written there, up to STACK_BYTES."""
    with suppress(OSError, ValueError):
        file.seek(0)
        return file.read(STACK_BYTES).decode(errors="replace")
    return ""
