"""The spool: rows on disk until the broker has acknowledged them. docs/mqtt.md says what it promises."""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tidegate.telemetry.spool import changes
from tidegate.telemetry.spool import file as spool_file
from tidegate.telemetry.spool.bounds import MOST_DELETED_LATER, Bounds
from tidegate.telemetry.spool.counters import SpoolCounters
from tidegate.telemetry.spool.disk import Disk
from tidegate.telemetry.spool.file import is_telemetry
from tidegate.telemetry.spool.memory import Memory
from tidegate.telemetry.spool.row import Row
from tidegate.telemetry.spool.stored import Stored
from tidegate.telemetry.spool.thinner import Thinner
from tidegate.telemetry.spool.thinning import PRESSED, TIERS, Tier

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What the files of a spool take at most beyond `max_bytes`: the log of one transaction and the fixed pages.
BEYOND_BYTES = 1 << 20
THIN_EVERY_S = 60.0
"""How often it is looked for windows to merge; it reads the number and time of each that waits."""
# Transactions of one `put` that merge windows: what is left is for the next.
_THIN_STEPS = 8


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
        self._thinner = Thinner()
        self._thinned_at: float | None = None
        # Rows of the file that the broker has, with their sizes.
        self._acknowledged: dict[int, int] = {}
        # Whether rows of the file may have been passed over, and how often such came to light.
        self._was_blind = False
        self._came_to_light = 0
        with self._lock:
            self._change(lambda _database, stored: (stored, True))

    def put(self, topic: str, document: Mapping[str, object], now: float) -> int:
        """Keep a document with its `seq` written into it, and return that seq.

        On return the row survives a kill of the process and a power cut, unless `problem` says that it is in
        memory. `now` is Unix time in seconds. Where room is short, waiting telemetry is merged further, then its
        oldest windows give way, events at last ("full"). Any row gives way to its age ("age"). Raises TypeError or
        ValueError for a document that JSON cannot hold (NaN included).
        """
        json.dumps(document, allow_nan=False)
        tried: list[Row] = []

        def number(_: sqlite3.Connection, stored: Stored) -> tuple[Stored, Sequence[Row]]:
            # A try that failed may have come to the disk all the same: with its number kept it is there once.
            if not tried or tried[0].seq <= stored.account.seq:
                tried[:] = [_row(self._disk.next_seq(), topic, document, now)]
            self._disk.sequence.reserve(tried[0].seq)
            return stored, tried

        with self._lock:
            if self._memory_is_stored(now):
                aged_left = self._store(number, now)
                if aged_left is not None:
                    if aged_left:
                        self._expire(now)
                    self._thin(now)
                    return tried[0].seq
            row = _row(self._disk.seq_without_disk(tried[0].seq if tried else None), topic, document, now)
            self._disk.book(self._memory.keep(row, now))
            return row.seq

    def after(
        self, seq: int, limit: int, excluding: Collection[str] = (), *, telemetry: bool | None = None
    ) -> tuple[Row, ...]:
        """At most `limit` rows with a greater seq, oldest first, leaving out the topics in `excluding`.

        Windows of telemetry alone, or all but them, or (None) both. What was given stays as it is until it is
        acknowledged or dropped.
        """
        with self._lock:
            most, generation = limit + len(self._acknowledged), self._disk.generation
            found = self._disk.change(
                lambda database, stored: changes.read(database, stored, seq, most, excluding, telemetry)
            )
            deleted_later = frozenset(self._acknowledged)
            self._was_blind |= found is None
            self._note_success(found)
            if self._acknowledged and self._disk.generation != generation:
                # Another opening of the file may hold other rows than those that were to be deleted.
                self._change(lambda _database, stored: (stored, True))
            rows = [row for row in found or () if row.seq not in deleted_later][:limit]
            kept = (
                row
                for row in self._memory
                if row.seq > seq and row.topic not in excluding and telemetry in {None, is_telemetry(row.topic)}
            )
            self._thinner.note_handed_out(rows)
            given = (*rows, *kept)[:limit]
            self._memory.hand_out({row.seq for row in given})
            return given

    def acknowledge(self, *seqs: int) -> tuple[int, ...]:
        """Delete rows that the broker has; those already dropped are no error. Gives those that the disk keeps.

        A few are deleted with the next change of the file, and sent again if the process is killed before that.
        """
        with self._lock:
            held = {seq for seq in seqs if seq in self._memory}
            self._disk.book(self._memory.acknowledge(held))
            stored_seqs = [seq for seq in seqs if seq not in held]
            if not stored_seqs or self._are_deleted_later(stored_seqs):
                return ()
            done = self._change(
                lambda database, stored: (changes.acknowledge(database, stored, stored_seqs), True)
            )
            return () if done is not None else tuple(stored_seqs)

    def drop(self, seq: int, reason: str) -> bool:
        """Give a row up for `reason`, counted unless it was gone already. False if the disk refused."""
        with self._lock:
            if seq in self._memory:
                self._disk.book(self._memory.drop(seq, reason))
                return True
            done = self._change(lambda database, stored: changes.drop(database, stored, (seq,), reason))
            return done is not None

    def expire(self, now: float) -> None:
        """Drop the rows older than the bound, also those that lie behind younger ones after a change of clock."""
        with self._lock:
            self._expire(now)

    def thin(self, now: float) -> None:
        """Make one of the windows that have waited long enough, as far as a few transactions take it."""
        with self._lock:
            self._thinned_at = None
            self._thin(now)

    @property
    def problem(self) -> str | None:
        """Why the disk takes nothing now, None while it does."""
        return self._disk.problem

    @property
    def generation(self) -> int:
        """One more whenever rows may have come to light that `after` did not give before.

        So it is at every opening of the file, and where it can be read again.
        """
        return self._disk.generation + self._came_to_light

    @property
    def counters(self) -> SpoolCounters | None:
        """All totals at one moment, None while a spool is there that could not be read yet."""
        with self._lock:
            stored = self._disk.stored
            if stored is None:
                return None
            acknowledged = self._acknowledged
            return SpoolCounters(
                put=stored.account.put + len(self._memory),
                acknowledged=stored.account.acknowledged + len(acknowledged),
                dropped=stored.account.dropped,
                waiting=stored.rows + len(self._memory) - len(acknowledged),
                waiting_bytes=stored.size_bytes + self._memory.size_bytes - sum(acknowledged.values()),
                in_memory=len(self._memory),
                merged=stored.account.merged,
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
        """Do `work` without the rows that the broker has."""

        def without_acknowledged(database: sqlite3.Connection, stored: Stored) -> tuple[Stored, T]:
            if self._acknowledged:
                stored = changes.acknowledge(database, stored, self._acknowledged)
            return work(database, stored)

        answer = self._disk.change(without_acknowledged)
        if answer is not None:
            self._acknowledged.clear()
        self._note_success(answer)
        return answer

    def _note_success(self, answer: object) -> None:
        if answer is None:
            return
        self._came_to_light += self._was_blind
        self._was_blind = False
        if not self._memory:
            self._disk.note_recovery()

    def _are_deleted_later(self, seqs: Sequence[int]) -> bool:
        """Whether the next change will delete these rows too."""
        database = self._disk.database
        if database is None or len(self._acknowledged) + len(seqs) > MOST_DELETED_LATER:
            return False
        try:
            self._acknowledged |= spool_file.sizes(database, seqs)
        except sqlite3.Error:
            return False  # a transaction of their own finds out what the matter is
        return True

    def _memory_is_stored(self, now: float) -> bool:
        """Bring what is in memory to the disk; True when nothing is left there."""
        while batch := self._memory.first_batch():
            if self._store(partial(self._in_place, batch), now) is None:
                return False
            self._memory.forget(batch)
        return True

    def _in_place(
        self, batch: Sequence[Row], database: sqlite3.Connection, stored: Stored
    ) -> tuple[Stored, Sequence[Row]]:
        # The numbers of the next batch are given too, and the disk does not know of them yet.
        self._disk.sequence.guard(self._disk.last_seq)
        return changes.replace(database, stored, batch, self._memory.handed_out(batch)), batch

    def _store(
        self, rows: Callable[[sqlite3.Connection, Stored], tuple[Stored, Sequence[Row]]], now: float
    ) -> bool | None:
        """Put rows on the disk, None if it refuses; True when rows that are too old are left there."""

        def work(database: sqlite3.Connection, stored: Stored) -> tuple[Stored, bool]:
            stored, aged_left = changes.drop_aged(database, stored, self._bounds.oldest_at(now))
            stored, putting = rows(database, stored)
            thin = partial(self._thin_once, now, (TIERS, *PRESSED))
            return changes.put(database, stored, putting, self._bounds, thin), aged_left

        return self._change(work)

    def _thin(self, now: float) -> None:
        """Now and then; a clock that was set back is no reason to wait for it."""
        if self._thinned_at is not None and 0 <= now - self._thinned_at < THIN_EVERY_S:
            return
        for _ in range(_THIN_STEPS):
            if not self._change(partial(self._thin_once, now, (TIERS,))):
                self._thinned_at = now
                return

    def _thin_once(
        self, now: float, ways: Iterable[tuple[Tier, ...]], database: sqlite3.Connection, stored: Stored
    ) -> tuple[Stored, bool]:
        for tiers in ways:
            stored, thinned = self._thinner.step(database, self._disk.generation, stored, now, tiers)
            if thinned:
                return stored, True
        return stored, False

    def _expire(self, now: float) -> None:
        oldest_at = self._bounds.oldest_at(now)
        while self._change(lambda database, stored: changes.drop_all_aged(database, stored, oldest_at)):
            pass


def _row(seq: int, topic: str, document: Mapping[str, object], now: float) -> Row:
    payload = json.dumps({**document, "seq": seq}, separators=(",", ":"), allow_nan=False).encode()
    return Row(seq, topic, payload, float(now))
