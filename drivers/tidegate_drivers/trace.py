"""Device traces: a recorded or scripted course of readings as CSV."""

import bisect
import difflib
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate_drivers.reading import (
    BATTERY,
    CPU,
    MEMORY_AVAILABLE,
    MEMORY_PRESSURE,
    POWER,
    POWER_SOURCE,
    POWER_SOURCES,
    TEMPERATURE,
    THERMAL_PRESSURE,
    THERMAL_PRESSURES,
    THROTTLED,
    Value,
)

TIME = "time_s"
_CLOCK = re.compile(r"#\s*clock:\s*([0-9]{2}):([0-9]{2})\s*")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a trace: the reading it plays, and the numbers (low, high) or words that are allowed."""

    reading: str
    limits: tuple[float, float] = (0.0, 0.0)
    words: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What a cell may hold, for messages."""
        if self.words:
            return f"{' or '.join(self.words)}, or nothing while the sensor is lost"
        return f"a number of {self.limits[0]:g} to {self.limits[1]:g}, or nothing while the sensor is lost"


COLUMNS: Mapping[str, Column] = {
    "battery_percent": Column(BATTERY, (0, 100)),
    "power_source": Column(POWER_SOURCE, words=POWER_SOURCES),
    "temperature_c": Column(TEMPERATURE, (-40, 150)),
    "power_w": Column(POWER, (0, 10_000)),
    "cpu_percent": Column(CPU, (0, 100)),
    "memory_available_b": Column(MEMORY_AVAILABLE, (0, 1e15)),
    "memory_pressure_percent": Column(MEMORY_PRESSURE, (0, 100)),
    "thermal_pressure": Column(THERMAL_PRESSURE, words=THERMAL_PRESSURES),
    "throttled": Column(THROTTLED, words=("yes", "no")),
    "ambient_c": Column("ambient", (-60, 80)),
    "supply_w": Column("supply", (0, 10_000)),
    "requests_hz": Column("requests", (0, 1e6)),
    "competing_percent": Column("competing", (0, 95)),
    "lost": Column("lost", words=("none", "battery", "temperature", "power", "battery+temperature", "all")),
}
"""The last five are no readings but what happens to a device: left out by a replay, needed by a simulation."""


class TraceError(ValueError):
    """A trace can't be played; says file, line (unless 0), column, what was found and what is allowed."""

    def __init__(self, path: Path, line: int, column: str, found: str, allowed: str) -> None:
        where = str(path) + (f", line {line}" if line else "") + (f", column {column}" if column else "")
        super().__init__(f"{where}: found {found}; allowed: {allowed}")
        self.path, self.line, self.column, self.found, self.allowed = path, line, column, found, allowed


@dataclass(frozen=True, slots=True)
class Track:
    """One reading over the trace's time; None from a row on means that the sensor is lost from there."""

    times_s: tuple[float, ...]
    values: tuple[Value | None, ...]

    def at(self, time_s: float) -> Value | None:
        """The value at a moment: numbers on the line between two rows, words from their row on.

        A number before a lost cell stays as it is until the loss. Moments outside the trace take the nearest row.
        """
        after = bisect.bisect_right(self.times_s, time_s)
        if after == 0:
            return self.values[0]
        value = self.values[after - 1]
        following = self.values[after] if after < len(self.values) else None
        if not isinstance(value, float) or not isinstance(following, float):
            return value
        share = (time_s - self.times_s[after - 1]) / (self.times_s[after] - self.times_s[after - 1])
        return value * (1.0 - share) + following * share


@dataclass(frozen=True, slots=True)
class ReplayTrace:
    """A named course of readings: one track per column of COLUMNS that the file has.

    `clock_s` is the time of day at the first row, in seconds; a comment `# clock: 05:00` states it.
    """

    name: str
    starts_s: float
    duration_s: float
    tracks: Mapping[str, Track]
    clock_s: float = 0.0

    @classmethod
    def load(cls, path: Path) -> "ReplayTrace":
        """Read a CSV file as docs/drivers.md describes it. Raises TraceError with path and line."""
        rows = _rows(path)
        header_line, header = next(rows, (1, []))
        _check_header(path, header_line, header)
        cells = [(line, _row(path, line, header, fields)) for line, fields in rows]
        if len(cells) < 2:
            raise TraceError(path, header_line, "", f"{len(cells)} rows below the header", "two or more")
        times_s = tuple(_time(path, line, row) for line, row in cells)
        for (earlier, later), (line, _) in zip(itertools.pairwise(times_s), cells[1:], strict=True):
            if later <= earlier:
                raise TraceError(
                    path, line, TIME, f"{later:g}", f"more than {earlier:g}, the time of the row above"
                )
        tracks = {
            COLUMNS[key].reading: Track(times_s, tuple(_value(path, line, key, row[key]) for line, row in cells))
            for key in header
            if key != TIME
        }
        return cls(path.stem, times_s[0], times_s[-1] - times_s[0], tracks, _clock(path))


def _clock(path: Path) -> float:
    for number, line in enumerate(_lines(path), start=1):
        if match := _CLOCK.fullmatch(line):
            hours, minutes = int(match[1]), int(match[2])
            if hours > 23 or minutes > 59:
                raise TraceError(path, number, "", f"{match[1]}:{match[2]}", "00:00 to 23:59")
            return hours * 3600.0 + minutes * 60.0
    return 0.0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise TraceError(path, 0, "", f"no readable file ({error.strerror})", "a CSV trace") from error
    except UnicodeDecodeError as error:
        raise TraceError(path, 1, "", f"a byte at {error.start} that is not UTF-8", "UTF-8 text") from error


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    lines = _lines(path)
    comments = sum(1 for _ in itertools.takewhile(lambda line: line.startswith("#"), lines))
    for number, line in enumerate(lines[comments:], start=comments + 1):
        if line.strip():
            yield number, [cell.strip() for cell in line.split(",")]


def _check_header(path: Path, line: int, header: Sequence[str]) -> None:
    known = (TIME, *COLUMNS)
    if TIME not in header:
        raise TraceError(path, line, "", ",".join(header) or "nothing", f"a header with {TIME}")
    for number, key in enumerate(header, start=1):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise TraceError(path, line, str(number), repr(key), ", ".join(known) + hint)
        if key in header[: number - 1]:
            raise TraceError(path, line, str(number), f"{key} a second time", "each column once")


def _row(path: Path, line: int, header: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    if len(fields) != len(header):
        raise TraceError(path, line, "", f"{len(fields)} cells", f"{len(header)}, as in the header")
    return dict(zip(header, fields, strict=True))


def _time(path: Path, line: int, row: Mapping[str, str]) -> float:
    cell = row[TIME]
    if not _NUMBER.fullmatch(cell) or not math.isfinite(float(cell)):
        raise TraceError(path, line, TIME, repr(cell), "a number of seconds, more than in the row above")
    return float(cell)


def _value(path: Path, line: int, key: str, cell: str) -> Value | None:
    column = COLUMNS[key]
    if not cell:
        return None
    if column.words:
        if cell in column.words:
            return cell
    elif _NUMBER.fullmatch(cell) and column.limits[0] <= float(cell) <= column.limits[1]:
        return float(cell)
    raise TraceError(path, line, key, repr(cell), column.allowed)
