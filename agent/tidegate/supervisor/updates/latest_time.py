"""The latest time this device has seen, for judging expiry: a clock that starts in 1970 must not bring it back."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tidegate import RELEASED
from tidegate.durable_number import read_number, write_number

FILE_NAME = "latest_time"
WITNESSES = ("policies.json", "session", "last_run.json", "drift.json", "spool.db", "spool.db-wal")
"""Files of the state directory whose times of change say that it has been at least so late."""
WRITE_EVERY_S = 86_400.0
"""How far the file on the disk may lag while the agent runs: a flash disk lives for years."""
BELIEVED_AT_ONCE_S = 10 * 365 * 86_400.0
"""A clock further ahead of all that is known than a device lies in store is taken for wrong at first."""
LONGEST_LIFE_S = 50 * 365 * 86_400.0
"""Nothing runs so long after its release: a later time is a fault of clock or file, and never counts."""
BELIEVED_AFTER_S = 3600.0
"""How long such a clock must run before it counts all the same."""
BEHIND_S = 3600.0
"""A clock that lags more than this behind the latest time is called wrong."""


class LatestTime:
    """`now` never goes back, over restarts too. One thread at a time; no method raises for the disk."""

    def __init__(
        self,
        state_dir: Path,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state_dir = state_dir
        self._file = state_dir / FILE_NAME
        self._clock = clock
        self._monotonic = monotonic
        self._far_since: float | None = None
        self._end_s = RELEASED.timestamp() + LONGEST_LIFE_S
        written_s = read_number(self._file) or 0
        self._written_s = written_s if written_s <= self._end_s else 0
        self._latest_s = max(RELEASED.timestamp(), float(self._written_s))
        for seen_s in _changed(state_dir):
            if seen_s <= self._latest_s + BELIEVED_AT_ONCE_S:
                self._latest_s = max(self._latest_s, seen_s)
        self.note()
        self.write()

    def now(self) -> datetime:
        """The latest time known, the clock's own included."""
        self.note()
        return _time(max(self._latest_s, self._clock()))

    def clock(self) -> datetime:
        """What the clock says, right or wrong."""
        return _time(self._clock())

    @property
    def problem(self) -> str:
        """What is wrong with the clock as far as can be told; empty when nothing is."""
        now_s = self._clock()
        if now_s < self._latest_s - BEHIND_S:
            goes = f"expiry is judged by the latest time known, {_written(self._latest_s)}"
            hint = "if that one is wrong, set the clock and say `tidegate policy trusted --believe-clock`"
            return f"the clock says {_written(now_s)}, which is past: {goes}; {hint}"
        if now_s > self._latest_s + BELIEVED_AT_ONCE_S:
            return (
                f"the clock says {_written(now_s)}, years after {_written(self._latest_s)}, the latest time known"
            )
        return ""

    def note(self) -> None:
        """Let the clock advance the latest time; writes it down when that is due."""
        now_s = self._clock()
        if now_s > self._end_s:
            return
        if now_s <= self._latest_s + BELIEVED_AT_ONCE_S:
            self._far_since = None
        else:
            self._far_since = self._monotonic() if self._far_since is None else self._far_since
            if self._monotonic() - self._far_since < BELIEVED_AFTER_S:
                return
        self._latest_s = max(self._latest_s, now_s)
        if self._latest_s - self._written_s >= WRITE_EVERY_S:
            self.write()

    def write(self) -> None:
        """Put the latest time on the disk, if it is new; at each start and end, and once a day in between."""
        latest_s = int(self._latest_s)
        if latest_s > self._written_s:
            with contextlib.suppress(OSError):
                write_number(self._file, latest_s)
                self._written_s = latest_s

    def believe_clock(self) -> None:
        """Forget every later time than the clock's: it was wrong once, and is right now. Raises OSError."""
        now_s = min(max(self._clock(), RELEASED.timestamp()), self._end_s)
        write_number(self._file, int(now_s))
        for name in WITNESSES:
            path = self._state_dir / name
            with contextlib.suppress(OSError):
                if path.stat().st_mtime > now_s:
                    os.utime(path, (now_s, now_s))
        self._written_s, self._latest_s, self._far_since = int(now_s), now_s, None


def _changed(state_dir: Path) -> Sequence[float]:
    times = []
    for name in WITNESSES:
        with contextlib.suppress(OSError):
            times.append((state_dir / name).stat().st_mtime)
    return sorted(times)


def _time(unix_s: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(max(unix_s, 0.0), 253_370_764_800.0))


def _written(unix_s: float) -> str:
    return _time(unix_s).isoformat(timespec="minutes")
