"""The spool: rows on disk until the broker has acknowledged them. docs/mqtt.md says what it promises."""

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.telemetry import spool_file
from agent.telemetry.spool_file import SpoolFileError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What a row costs on disk beyond its topic and payload: cell header, both index entries, page fill.
ROW_OVERHEAD_BYTES = 64
_DROPPED = "dropped_"


@dataclass(frozen=True, slots=True)
class Row:
    """One document waiting for its PUBACK; `payload` is JSON with `seq` in it."""

    seq: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class SpoolCounters:
    """Totals over the life of the spool file: put == acknowledged + sum(dropped.values()) + waiting.

    `unstored` counts, since this start, the documents that the disk did not take; they are in no other total.
    """

    put: int
    acknowledged: int
    dropped: Mapping[str, int]
    waiting: int
    waiting_bytes: int
    unstored: int


class Spool:
    """Documents in the order they were put, bounded in bytes and age; safe to use from several threads.

    No method raises for the state of the disk: what fails is counted, logged, and kept in `problem`.
    """

    def __init__(self, path: Path, max_bytes: int, max_age_s: float) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._unstored = 0
        self.problem: str | None = None
        with self._lock:
            self._try(lambda _: None, None)

    def put(self, topic: str, document: Mapping[str, object], now: float) -> int | None:
        """Store a document with its `seq` written into it, and return that seq; None if the disk refused it.

        On return the row survives a kill of the process and a power cut. `now` is Unix time in seconds. The
        oldest rows give way to the new one ("full") or to their age ("age"). Raises TypeError or ValueError
        for a document that JSON cannot hold (NaN included).
        """
        json.dumps(document, allow_nan=False)

        def insert(database: sqlite3.Connection) -> int:
            seq = spool_file.next_seq(database, self._path)
            payload = json.dumps({**document, "seq": seq}, separators=(",", ":"), allow_nan=False).encode()
            size = len(topic.encode()) + len(payload) + ROW_OVERHEAD_BYTES
            _add(database, "put", 1)
            self._expire(database, now)
            if size > self._max_bytes:
                _add(database, _DROPPED + "full", 1)
                return seq
            self._make_room(database, size)
            database.execute("INSERT INTO row VALUES (?, ?, ?, ?, ?)", (seq, topic, payload, now, size))
            _add(database, "bytes", size)
            return seq

        with self._lock:
            seq = self._try(insert, None)
            if seq is None:
                self._unstored += 1
            return seq

    def after(self, seq: int, limit: int, excluding: Collection[str] = ()) -> tuple[Row, ...]:
        """At most `limit` rows with a greater seq, oldest first, leaving out the topics in `excluding`."""
        holes = ",".join("?" * len(excluding))
        wanted = f"seq > ? AND topic NOT IN ({holes})"
        query = f"SELECT seq, topic, payload FROM row WHERE {wanted} ORDER BY seq LIMIT ?"  # noqa: S608 - only question marks
        with self._lock:
            return self._try(
                lambda database: tuple(Row(*row) for row in database.execute(query, (seq, *excluding, limit))), ()
            )

    def acknowledge(self, *seqs: int) -> bool:
        """Delete rows that the broker has; those already dropped are no error. False if the disk refused."""

        def delete(database: sqlite3.Connection) -> bool:
            for seq in seqs:
                _add(database, "acknowledged", _delete(database, "seq = ?", seq))
            return True

        with self._lock:
            return self._try(delete, default=False)

    def drop(self, seq: int, reason: str) -> bool:
        """Give a row up for `reason`, counted. False if it was gone already or the disk refused."""

        def delete(database: sqlite3.Connection) -> bool:
            gone = _delete(database, "seq = ?", seq)
            _add(database, _DROPPED + reason, gone)
            return gone > 0

        with self._lock:
            return self._try(delete, default=False)

    def expire(self, now: float) -> None:
        """Drop the rows older than the bound; `put` does it too, so this is for times without one."""
        with self._lock:
            self._try(lambda database: self._expire(database, now), None)

    @property
    def counters(self) -> SpoolCounters | None:
        """All totals at one moment, None while the file cannot be read."""

        def read(database: sqlite3.Connection) -> SpoolCounters:
            totals = dict(database.execute("SELECT name, total FROM counter"))
            (waiting,) = database.execute("SELECT count(*) FROM row").fetchone()
            return SpoolCounters(
                put=totals.get("put", 0),
                acknowledged=totals.get("acknowledged", 0),
                dropped={n.removeprefix(_DROPPED): t for n, t in totals.items() if n.startswith(_DROPPED)},
                waiting=waiting,
                waiting_bytes=totals.get("bytes", 0),
                unstored=self._unstored,
            )

        with self._lock:
            return self._try(read, None)

    def close(self) -> None:
        """Close the file. A later call opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _try(self, work: Callable[[sqlite3.Connection], T], default: T) -> T:
        """Run `work` in one transaction; what the disk does not allow is remembered and `default` returned."""
        for _ in range(2):
            try:
                return self._transaction(work)
            except (sqlite3.Error, SpoolFileError, OSError) as error:
                self._note(f"spool {self._path}: {error}")
                if not spool_file.is_damage(error):
                    return default
                self._close()
                try:
                    self._note(spool_file.move_aside(self._path, error))
                except OSError as stuck:
                    self._note(f"spool {self._path}: damaged and cannot be moved aside: {stuck}")
                    return default
        return default

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._database is None:
            self._database = spool_file.open_file(self._path)
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            result = work(database)
            database.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors (a full disk among them).
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        return result

    def _note(self, problem: str) -> None:
        # A full disk fails every put: say it once, count the rest.
        if problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem

    def _expire(self, database: sqlite3.Connection, now: float) -> None:
        _add(database, _DROPPED + "age", _delete(database, "at < ?", now - self._max_age_s))

    def _make_room(self, database: sqlite3.Connection, size: int) -> None:
        (used,) = database.execute("SELECT total FROM counter WHERE name = 'bytes'").fetchone() or (0,)
        excess = used + size - self._max_bytes
        while excess > 0:
            seq, freed = database.execute("SELECT seq, bytes FROM row ORDER BY seq LIMIT 1").fetchone()
            _add(database, _DROPPED + "full", _delete(database, "seq = ?", seq))
            excess -= freed


def _add(database: sqlite3.Connection, name: str, amount: int) -> None:
    if amount:
        database.execute(
            "INSERT INTO counter VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET total = total + ?2",
            (name, amount),
        )


def _delete(database: sqlite3.Connection, condition: str, value: float) -> int:
    # `condition` is one of this file's own constants.
    freed, count = database.execute(f"SELECT sum(bytes), count(*) FROM row WHERE {condition}", (value,)).fetchone()  # noqa: S608
    if count:
        database.execute(f"DELETE FROM row WHERE {condition}", (value,))  # noqa: S608
        _add(database, "bytes", -freed)
    return int(count)
