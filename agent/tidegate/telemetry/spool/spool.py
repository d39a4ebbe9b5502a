"""The spool: rows on disk until the broker has acknowledged them. docs/mqtt.md says what it promises."""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tidegate.telemetry.spool import changes
from tidegate.telemetry.spool.bounds import Bounds
from tidegate.telemetry.spool.counters import SpoolCounters
from tidegate.telemetry.spool.disk import Disk
from tidegate.telemetry.spool.memory import Memory
from tidegate.telemetry.spool.row import Row
from tidegate.telemetry.spool.stored import Stored

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What the files of a spool take at most beyond `max_bytes`: the log of one transaction and the fixed pages.
BEYOND_BYTES = 1 << 20


class Spool:
    """Documents in the order they were put, bounded in bytes and age; safe to use from several threads.

    No method raises for the state of the disk: while it takes nothing, rows are kept in memory, and `problem` says
    why. What happened to the file meanwhile (damage, loss) is told once by `take_incidents`.
    """

    def __init__(self, path: Path, max_bytes: int, max_age_s: float) -> None:
        self._path = path
        self._bounds = Bounds(max_bytes, max_age_s)
        self._lock = threading.Lock()
        self._disk = Disk(path)
        self._memory = Memory(self._bounds)
        with self._lock:
            self._change(lambda _database, stored: (stored, True))

    def put(self, topic: str, document: Mapping[str, object], now: float) -> int:
        """Keep a document with its `seq` written into it, and return that seq.

        On return the row survives a kill of the process and a power cut, unless `problem` says that it is in
        memory. `now` is Unix time in seconds. The oldest rows give way to the new one ("full") or to their age
        ("age"). Raises TypeError or ValueError for a document that JSON cannot hold (NaN included).
        """
        json.dumps(document, allow_nan=False)
        with self._lock:
            if self._memory_is_stored(now):
                row = _row(self._disk.last_seq + 1, topic, document, now)
                aged_left = self._store((row,), now)
                if aged_left is not None:
                    self._disk.last_seq = row.seq
                    if aged_left:
                        self._expire(now)
                    return row.seq
            return self._keep_in_memory(topic, document, now)

    def after(self, seq: int, limit: int, excluding: Collection[str] = ()) -> tuple[Row, ...]:
        """At most `limit` rows with a greater seq, oldest first, leaving out the topics in `excluding`."""
        with self._lock:
            rows = self._change(lambda database, stored: changes.read(database, stored, seq, limit, excluding))
            kept = (row for row in self._memory if row.seq > seq and row.topic not in excluding)
            return (*(rows or ()), *kept)[:limit]

    def acknowledge(self, *seqs: int) -> bool:
        """Delete rows that the broker has; those already dropped are no error. False if the disk refused."""
        with self._lock:
            held = {seq for seq in seqs if seq in self._memory}
            self._disk.book(self._memory.acknowledge(held))
            stored_seqs = [seq for seq in seqs if seq not in held]
            if not stored_seqs:
                return True
            done = self._change(
                lambda database, stored: (changes.acknowledge(database, stored, stored_seqs), True)
            )
            return done is not None

    def drop(self, seq: int, reason: str) -> bool:
        """Give a row up for `reason`, counted. False if it was gone already or the disk refused."""
        with self._lock:
            if seq in self._memory:
                self._disk.book(self._memory.drop(seq, reason))
                return True
            return bool(self._change(lambda database, stored: changes.drop(database, stored, (seq,), reason)))

    def expire(self, now: float) -> None:
        """Drop the rows older than the bound, also those that lie behind younger ones after a change of clock."""
        with self._lock:
            self._expire(now)

    @property
    def problem(self) -> str | None:
        """Why the disk takes nothing now, None while it does."""
        return self._disk.problem

    @property
    def generation(self) -> int:
        """One more at every opening of the file: rows may have come to light that `after` did not give before."""
        return self._disk.generation

    @property
    def counters(self) -> SpoolCounters | None:
        """All totals at one moment, None while a spool is there that could not be read yet."""
        with self._lock:
            stored = self._disk.stored
            if stored is None:
                return None
            return SpoolCounters(
                put=stored.account.put + len(self._memory),
                acknowledged=stored.account.acknowledged,
                dropped=stored.account.dropped,
                waiting=stored.rows + len(self._memory),
                waiting_bytes=stored.size_bytes + self._memory.size_bytes,
                in_memory=len(self._memory),
            )

    def take_incidents(self) -> tuple[str, ...]:
        """What happened to the file since the last call, in sentences."""
        with self._lock:
            return self._disk.take_incidents()

    def close(self) -> None:
        """Bring what is in memory to the disk if it takes it, and close the file. A later call opens it again."""
        with self._lock:
            self._disk.retry_at = 0.0
            if self._memory and not self._memory_is_stored(time.time()):
                logger.warning("spool %s: %d rows are lost with the process", self._path, len(self._memory))
            if self._disk.database is not None:
                # So that its next opening need not look for what was lost.
                self._change(lambda _database, stored: (stored.marked(in_use=False), True))
            self._disk.close()

    def _change(self, work: Callable[[sqlite3.Connection, Stored], tuple[Stored, T]]) -> T | None:
        answer = self._disk.change(work)
        if answer is not None and not self._memory:
            self._disk.note_recovery()
        return answer

    def _keep_in_memory(self, topic: str, document: Mapping[str, object], now: float) -> int:
        """Under a number that the disk will not give again if the process ends before it has the row."""
        disk = self._disk
        if not self._memory:
            disk.last_seq = disk.sequence.skip_ahead(disk.last_seq)
        with suppress(OSError):
            disk.sequence.reserve(disk.last_seq + 1)
        row = _row(disk.last_seq + 1, topic, document, now)
        disk.last_seq = row.seq
        disk.book(self._memory.keep(row, now))
        return row.seq

    def _memory_is_stored(self, now: float) -> bool:
        """Bring what is in memory to the disk; True when nothing is left there."""
        while batch := self._memory.first_batch():
            if self._store(batch, now) is None:
                return False
            self._memory.forget(batch)
        return True

    def _store(self, rows: Sequence[Row], now: float) -> bool | None:
        """Put rows on the disk, None if it refuses; True when rows that are too old are left there."""

        def work(database: sqlite3.Connection, stored: Stored) -> tuple[Stored, bool]:
            stored, aged_left = changes.drop_aged(database, stored, self._bounds.oldest_at(now))
            self._disk.sequence.reserve(rows[-1].seq)
            return changes.put(database, stored, rows, self._bounds), aged_left

        return self._change(work)

    def _expire(self, now: float) -> None:
        oldest_at = self._bounds.oldest_at(now)
        while self._change(lambda database, stored: changes.drop_all_aged(database, stored, oldest_at)):
            pass


def _row(seq: int, topic: str, document: Mapping[str, object], now: float) -> Row:
    payload = json.dumps({**document, "seq": seq}, separators=(",", ":"), allow_nan=False).encode()
    return Row(seq, topic, payload, float(now))
