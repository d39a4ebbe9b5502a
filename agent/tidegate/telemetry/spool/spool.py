"""The spool: rows on disk until the broker has acknowledged them. docs/mqtt.md says what it promises."""

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tidegate.telemetry.spool import file as spool_file
from tidegate.telemetry.spool import salvage as spool_salvage
from tidegate.telemetry.spool import wal as spool_wal
from tidegate.telemetry.spool.account import Account
from tidegate.telemetry.spool.file import PAGE_BYTES, SpoolDamagedError
from tidegate.telemetry.spool.row import Row, row_of
from tidegate.telemetry.spool.sequence import Sequence

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What the files of a spool take at most beyond `max_bytes`: the log of one transaction and the fixed pages.
BEYOND_BYTES = 1 << 20
# Larger rows are dropped: no broker's usual limit would let them through, and one alone would fill the log.
MAX_ROW_BYTES = 256 << 10
# What is kept in memory while the disk takes nothing.
MEMORY_BYTES = 4 << 20
# Pages that a file without rows has, and some in reserve for the tree above the rows.
_FIXED_PAGES = 16
# Rows that go in one transaction, so that it stays small in the log.
_BATCH = 64
_BATCH_BYTES = 128 << 10

_ERRORS = (sqlite3.Error, SpoolDamagedError, OSError, OverflowError)


@dataclass(frozen=True, slots=True)
class SpoolCounters:
    """Totals over the life of the spool: put == acknowledged + sum(dropped.values()) + waiting.

    `in_memory` of the waiting rows are not on the disk, because it does not take them now.
    """

    put: int
    acknowledged: int
    dropped: Mapping[str, int]
    waiting: int
    waiting_bytes: int
    in_memory: int


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is on the disk: the account as it stands there, the rows' number and size."""

    account: Account
    rows: int = 0
    size_bytes: int = 0

    def without(self, rows: int, size_bytes: int) -> "_Stored":
        return replace(self, rows=self.rows - rows, size_bytes=self.size_bytes - size_bytes)


class Spool:
    """Documents in the order they were put, bounded in bytes and age; safe to use from several threads.

    No method raises for the state of the disk: while it takes nothing, rows are kept in memory, and `problem` says
    why. What happened to the file meanwhile (damage, loss) is told once by `take_incidents`.
    """

    def __init__(self, path: Path, max_bytes: int, max_age_s: float) -> None:
        # How long a disk that refused is left alone; a full one is asked again every time.
        self.retry_s = 1.0
        self.problem: str | None = None
        # One more at every opening of the file: rows may have come to light that `after` did not give before.
        self.generation = 0
        self._path = path
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._stored: _Stored | None = None
        # What happened while the file could not be opened for the first time.
        self._unbooked = Account()
        self._memory: dict[int, Row] = {}
        self._sequence = Sequence(path.with_name(path.name + ".seq"))
        self._last_seq = 0
        self._retry_at = 0.0
        self._incidents: list[str] = []
        self._aged_left = False
        with self._lock:
            self._on_disk(lambda _database, stored: (stored, None), None)

    def put(self, topic: str, document: Mapping[str, object], now: float) -> int:
        """Keep a document with its `seq` written into it, and return that seq.

        On return the row survives a kill of the process and a power cut, unless `problem` says that it is in
        memory. `now` is Unix time in seconds. The oldest rows give way to the new one ("full") or to their age
        ("age"). Raises TypeError or ValueError for a document that JSON cannot hold (NaN included).
        """
        json.dumps(document, allow_nan=False)
        with self._lock:
            if self._memory_is_stored(now):
                row = _row(self._last_seq + 1, topic, document, now)
                if self._store((row,), now, put=1):
                    self._last_seq = row.seq
                    if self._aged_left:
                        self._expire(now)
                    return row.seq
            return self._keep(topic, document, now)

    def after(self, seq: int, limit: int, excluding: Collection[str] = ()) -> tuple[Row, ...]:
        """At most `limit` rows with a greater seq, oldest first, leaving out the topics in `excluding`."""
        with self._lock:
            none: tuple[Row, ...] = ()
            rows = self._on_disk(lambda database, stored: _read(database, stored, seq, limit, excluding), none)
            kept = (row for row in self._memory.values() if row.seq > seq and row.topic not in excluding)
            return (*rows, *kept)[:limit]

    def acknowledge(self, *seqs: int) -> bool:
        """Delete rows that the broker has; those already dropped are no error. False if the disk refused."""
        with self._lock:
            stored_seqs = [seq for seq in seqs if self._memory.pop(seq, None) is None]
            held = len(seqs) - len(stored_seqs)
            self._book(lambda account: account.with_put(held).with_acknowledged(held))
            return not stored_seqs or self._on_disk(
                lambda database, stored: (
                    _delete(database, stored, stored_seqs, Account.with_acknowledged)[0],
                    True,
                ),
                False,
            )

    def drop(self, seq: int, reason: str) -> bool:
        """Give a row up for `reason`, counted. False if it was gone already or the disk refused."""

        def booked(account: Account, rows: int) -> Account:
            return account.with_dropped(reason, rows)

        def work(database: sqlite3.Connection, stored: _Stored) -> tuple[_Stored, bool]:
            after, gone = _delete(database, stored, (seq,), booked)
            return after, gone > 0

        with self._lock:
            if self._memory.pop(seq, None) is not None:
                self._book(lambda account: account.with_put(1).with_dropped(reason, 1))
                return True
            return self._on_disk(work, False)

    def expire(self, now: float) -> None:
        """Drop the rows older than the bound, also those that lie behind younger ones after a change of clock."""
        with self._lock:
            self._expire(now)

    @property
    def counters(self) -> SpoolCounters | None:
        """All totals at one moment, None while a spool is there that could not be read yet."""
        with self._lock:
            if self._stored is None and self._holds_something():
                return None
            stored = self._stored or _Stored(Account())
            account = stored.account.plus(self._unbooked)
            return SpoolCounters(
                put=account.put + len(self._memory),
                acknowledged=account.acknowledged,
                dropped=account.dropped,
                waiting=stored.rows + len(self._memory),
                waiting_bytes=stored.size_bytes + sum(row.size_bytes for row in self._memory.values()),
                in_memory=len(self._memory),
            )

    def take_incidents(self) -> tuple[str, ...]:
        """What happened to the file since the last call, in sentences."""
        with self._lock:
            incidents, self._incidents = tuple(self._incidents), []
            return incidents

    def close(self) -> None:
        """Bring what is in memory to the disk if it takes it, and close the file. A later call opens it again."""
        with self._lock:
            self._retry_at = 0.0
            if self._memory and not self._memory_is_stored(time.time()):
                logger.warning("spool %s: %d rows are lost with the process", self._path, len(self._memory))
            if self._database is not None:
                self._on_disk(lambda _database, stored: (_marked(stored, in_use=False), None), None)
            self._close()

    def _holds_something(self) -> bool:
        """Whether there is a file with something in it, which a full disk does not leave of a new one."""
        try:
            return self._path.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    # Rows in memory

    def _keep(self, topic: str, document: Mapping[str, object], now: float) -> int:
        """In memory, under a number that the disk will not give again if the process ends before it has it."""
        if not self._memory:
            self._last_seq = self._sequence.leap(self._last_seq)
        with suppress(OSError):
            self._sequence.reserve(self._last_seq + 1)
        row = _row(self._last_seq + 1, topic, document, now)
        self._last_seq = row.seq
        if row.size_bytes > min(MAX_ROW_BYTES, self._max_bytes):
            self._book(lambda account: account.with_put(1).with_dropped("full", 1))
            return row.seq
        self._memory[row.seq] = row
        used = sum(each.size_bytes for each in self._memory.values())
        for seq, each in tuple(self._memory.items()):
            aged = each.at < now - self._max_age_s
            if not aged and used <= min(MEMORY_BYTES, self._max_bytes):
                break
            used -= each.size_bytes
            del self._memory[seq]
            reason = "age" if aged else "unstored"
            self._book(lambda account, reason=reason: account.with_put(1).with_dropped(reason, 1))  # type: ignore[misc]  # the default binds it
        return row.seq

    def _memory_is_stored(self, now: float) -> bool:
        """Bring what is in memory to the disk; True when nothing is left there."""
        while self._memory:
            batch, size = [], 0
            for row in self._memory.values():
                batch.append(row)
                size += row.size_bytes
                if size > _BATCH_BYTES:
                    break
            if not self._store(batch, now, put=len(batch)):
                return False
            for row in batch:
                del self._memory[row.seq]
        return True

    def _book(self, change: Callable[[Account], Account]) -> None:
        """Note what became of a row in memory; the next transaction takes it to the disk."""
        self._unbooked = change(self._unbooked)

    # Rows on the disk

    def _store(self, rows: Collection[Row], now: float, *, put: int) -> bool:
        def work(database: sqlite3.Connection, stored: _Stored) -> tuple[_Stored, bool]:
            stored = self._without_aged(database, stored, now)
            stored = replace(stored, account=stored.account.with_put(put))
            for row in rows:
                self._sequence.reserve(row.seq)
                if row.size_bytes > min(MAX_ROW_BYTES, self._max_bytes):
                    account = stored.account.with_dropped("full", 1)
                    stored = replace(stored, account=account)
                    continue
                stored = self._with_room(database, stored, row.size_bytes)
                spool_file.insert(database, (row,))
                stored = stored.without(-1, -row.size_bytes)
            last = max(row.seq for row in rows)
            return replace(stored, account=replace(stored.account, seq=max(stored.account.seq, last))), True

        return self._on_disk(work, False)

    def _without_aged(self, database: sqlite3.Connection, stored: _Stored, now: float) -> _Stored:
        """Without the oldest rows that are too old, as many as one transaction takes."""
        limit = now - self._max_age_s
        old: list[int] = []
        size = 0
        self._aged_left = False
        for seq, at, size_bytes in spool_file.oldest(database):
            if isinstance(at, float) and at >= limit:
                break
            if len(old) == _BATCH or size > _BATCH_BYTES:
                self._aged_left = True
                break
            old.append(seq)
            size += size_bytes
        return _delete(database, stored, old, _too_old)[0]

    def _expire(self, now: float) -> None:
        """Drop all rows that are too old, wherever they lie, in transactions that the log has room for."""

        def work(database: sqlite3.Connection, stored: _Stored) -> tuple[_Stored, bool]:
            old: list[int] = []
            size = 0
            for seq, size_bytes in spool_file.older_than(database, now - self._max_age_s):
                if len(old) == _BATCH or size > _BATCH_BYTES:
                    return _delete(database, stored, old, _too_old)[0], True
                old.append(seq)
                size += size_bytes
            return _delete(database, stored, old, _too_old)[0], False

        while self._on_disk(work, False):
            pass

    def _with_room(self, database: sqlite3.Connection, stored: _Stored, size_bytes: int) -> _Stored:
        """With room for `size_bytes` more, by rows and by pages of the file; the oldest rows give way."""
        pages = self._max_bytes // PAGE_BYTES + _FIXED_PAGES - size_bytes // PAGE_BYTES - 2
        while stored.rows:
            excess = stored.size_bytes + size_bytes - self._max_bytes
            crowded = spool_file.used_pages(database) > pages
            if excess <= 0 and not crowded:
                break
            going, freed = [], 0
            for seq, _, size in spool_file.oldest(database):
                going.append(seq)
                freed += size
                if len(going) == _BATCH or freed >= max(excess, PAGE_BYTES if crowded else 1):
                    break
            if not going:
                raise SpoolDamagedError(f"{stored.rows} rows are counted and none is found")
            stored, _ = _delete(database, stored, going, _too_many)
        return stored

    def _on_disk(self, work: Callable[[sqlite3.Connection, _Stored], tuple[_Stored, T]], default: T) -> T:
        """Run `work` in one transaction; what the disk does not allow is remembered and `default` returned.

        `work` takes what is stored and gives what is stored after it.
        """
        if self._database is None and time.monotonic() < self._retry_at:
            return default
        for _ in range(3):
            try:
                result = self._transaction(work)
            except _ERRORS as error:
                if not self._again(error):
                    return default
            else:
                self._recovered()
                return result
        return default

    def _again(self, error: Exception) -> bool:
        """Do what can be done about an error; True when another attempt may go better."""
        if spool_file.is_damage(error):
            return self._begin_anew(str(error))
        self._note(f"spool {self._path}: {_in_words(error)}")
        if spool_file.is_full(error) and self._database is not None and self._made_room():
            return True
        if self._database is None or not spool_file.is_full(error):
            self._retry_at = time.monotonic() + self.retry_s
            self._close()
        return False

    def _made_room(self) -> bool:
        """Give back what the spool itself takes without need: its log, and a damaged predecessor. True if any."""
        freed = False
        wal = self._path.with_name(self._path.name + "-wal")
        with suppress(OSError, sqlite3.Error):
            if self._database is not None and wal.stat().st_size:
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                freed = wal.stat().st_size == 0
        with suppress(OSError):
            self._path.with_name(self._path.name + ".damaged").unlink()
            freed = True
        return freed

    def _transaction(self, work: Callable[[sqlite3.Connection, _Stored], tuple[_Stored, T]]) -> T:
        database = self._open()
        before = self._stored or _Stored(Account())
        booked = replace(before, account=before.account.plus(self._unbooked))
        database.execute("BEGIN IMMEDIATE")
        try:
            after, result = work(database, booked)
            if after != before:
                spool_file.write_account(database, after.account)
            database.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors (a full disk among them).
            if database.in_transaction:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
            raise
        self._stored, self._unbooked = after, Account()
        return result

    def _open(self) -> sqlite3.Connection:
        if self._database is not None and self._inode != _inode(self._path):
            self._move_out()
        if self._database is not None:
            return self._database
        database, held = self._opened()
        try:
            self._take_over(database, held)
        except BaseException:
            # Open and unknown, it would be taken for an empty one.
            self._close()
            raise
        return database

    def _opened(self) -> tuple[sqlite3.Connection, spool_file.Held]:
        database, held = spool_file.open_file(self._path)
        self._database, self._inode = database, _inode(self._path)
        self.generation += 1
        return database, held

    def _take_over(self, database: sqlite3.Connection, held: spool_file.Held) -> None:
        """Know what is in the file just opened."""
        if self._stored is not None and self._stored.rows == held.rows and held.account == self._stored.account:
            return
        account = held.account
        if account is None:
            raise SpoolDamagedError("its totals are damaged")
        lost = self._log_has_lost(database, account)
        if lost:
            self._tell("the latest changes in its log are damaged and lost")
        if account.waiting != held.rows:
            self._tell(f"{account.waiting} rows should wait in it, {held.rows} do")
            account = account.balanced(held.rows)
        if account.seq == 0:
            seq = self._sequence.floor(lost=self._path.with_name(self._path.name + ".damaged").exists())
            if seq and self._last_seq < seq:
                self._tell("it was missing or empty; what waited in it is lost, how much is not known")
        else:
            seq = self._sequence.resume(account.seq, lost=lost)
        self._last_seq = max(self._last_seq, seq)
        self._stored = _marked(_Stored(account, held.rows, held.size_bytes), in_use=True)
        with suppress(sqlite3.OperationalError):
            # In the file itself, where also the loss of the whole log leaves it to be seen.
            spool_file.write_account(database, self._stored.account)
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _log_has_lost(self, database: sqlite3.Connection, account: Account) -> bool:
        try:
            (_, frames, _) = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.OperationalError:
            # No room to write it back into the file, so that its length is not known; what it holds can be read.
            return False
        wal = self._path.with_name(self._path.name + "-wal")
        return spool_wal.lost_commits(wal, max(0, frames), in_use=account.in_use)

    def _begin_anew(self, why: str) -> bool:
        """Move a damaged file aside and begin a new one with what is whole in the old. False if it can't."""
        known = self._stored
        self._close()
        aside = None
        try:
            aside = spool_salvage.move_aside(self._path)
            account = known.account if known is not None else spool_salvage.salvage_account(aside)
            saved, lost = self._refill(account, spool_salvage.salvage_rows(aside))
        except _ERRORS as error:
            self._note(f"spool {self._path}: damaged ({why}), and no new one can be begun: {_in_words(error)}")
            self._retry_at = time.monotonic() + self.retry_s
            self._close()
            self._stored = known
            if aside is not None:
                # As it was: when the disk takes a new file, there is something to save from.
                with suppress(OSError):
                    spool_salvage.move_back(aside, self._path)
            return False
        self._tell(f"damaged ({why}); moved aside to {aside.name}, {_saved(saved, lost)}")
        return True

    def _move_out(self) -> None:
        """The file was removed or replaced under us: take the rows along while it is still open."""
        old, known = self._database, self._stored
        self._database = None
        self._stored = None
        if old is None or known is None:
            return
        try:
            if os.path.lexists(self._path):
                spool_salvage.move_aside(self._path)
            saved, lost = self._refill(known.account, spool_salvage.rows_of(old))
            self._tell(f"removed while in use; begun anew, {_saved(saved, lost)}")
        except _ERRORS:
            # Nothing of it is on any disk now, so that it is all in memory or lost.
            self._close()
            self._unbooked = self._unbooked.plus(known.account.balanced(0))
            raise
        finally:
            with suppress(sqlite3.Error):
                old.close()

    def _refill(self, account: Account | None, rows: Iterator[Row]) -> tuple[int, int | None]:
        """A new file with these rows; how many they were, and how many are lost (None if nobody knows)."""
        self._stored = None
        database, held = self._opened()
        if held.rows:
            raise SpoolDamagedError("the new file has rows already")
        before = account if account is not None else Account()
        self._last_seq = max(self._last_seq, self._sequence.floor(lost=True))
        with suppress(OSError):
            # The directory may be a new one, without it.
            self._sequence.renew(self._last_seq)
        # All are lost until they are found again, so that the account holds whenever this ends.
        stored = _Stored(replace(before, seq=max(before.seq, self._last_seq), in_use=True).balanced(0))
        damaged = stored.account.dropped.get("damaged", 0) - before.dropped.get("damaged", 0)
        saved = 0
        batch: list[Row] = []
        for row in rows:
            batch.append(row)
            if sum(each.size_bytes for each in batch) > _BATCH_BYTES:
                stored = self._add_saved(database, stored, batch, damaged - saved)
                saved, batch = saved + len(batch), []
        stored = self._add_saved(database, stored, batch, damaged - saved)
        saved += len(batch)
        self._stored = stored
        self._last_seq = max(self._last_seq, stored.account.seq)
        return saved, None if account is None else max(0, damaged - saved)

    def _add_saved(
        self, database: sqlite3.Connection, stored: _Stored, rows: Collection[Row], damaged: int
    ) -> _Stored:
        """With salvaged rows put back, as long as there is room."""
        account = stored.account
        found = min(max(0, damaged), len(rows))
        dropped = {**account.dropped, "damaged": account.dropped.get("damaged", 0) - found}
        account = replace(
            account,
            put=account.put + len(rows) - found,
            dropped={reason: number for reason, number in dropped.items() if number},
            seq=max(account.seq, *(row.seq for row in rows), 0),
        )
        database.execute("BEGIN IMMEDIATE")
        spool_file.insert(database, rows)
        spool_file.write_account(database, account)
        database.execute("COMMIT")
        return _Stored(account, stored.rows + len(rows), stored.size_bytes + sum(r.size_bytes for r in rows))

    def _close(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def _tell(self, incident: str) -> None:
        said = f"spool {self._path}: {incident}"
        logger.warning("%s", said)
        self._incidents.append(said)

    def _note(self, problem: str) -> None:
        # A full disk fails every put: say it once, count the rest.
        if problem != self.problem:
            logger.warning("%s; rows are kept in memory until it works", problem)
        self.problem = problem

    def _recovered(self) -> None:
        if self.problem is not None and not self._memory:
            logger.info("spool %s: works again", self._path)
            self.problem = None


def _row(seq: int, topic: str, document: Mapping[str, object], now: float) -> Row:
    payload = json.dumps({**document, "seq": seq}, separators=(",", ":"), allow_nan=False).encode()
    return Row(seq, topic, payload, float(now))


def _read(
    database: sqlite3.Connection, stored: _Stored, seq: int, limit: int, excluding: Collection[str]
) -> tuple[_Stored, tuple[Row, ...]]:
    """The whole rows behind `seq`; damaged ones met on the way are dropped and counted."""
    holes = ",".join("?" * len(excluding))
    query = f"SELECT seq, topic, payload, at, crc FROM row WHERE seq > ? AND topic NOT IN ({holes}) ORDER BY seq LIMIT ?"  # noqa: S608, E501 - only question marks
    while True:
        found = database.execute(query, (seq, *excluding, limit)).fetchall()
        rows = [(columns[0], row_of(*columns)) for columns in found]
        damaged = [number for number, row in rows if row is None]
        if not damaged:
            return stored, tuple(row for _, row in rows if row is not None)
        stored, _ = _delete(database, stored, damaged, _damaged)


def _delete(
    database: sqlite3.Connection,
    stored: _Stored,
    seqs: Collection[int],
    book: Callable[[Account, int], Account],
) -> tuple[_Stored, int]:
    """Without these rows, booked; and how many there were."""
    gone = 0
    for seq in seqs:
        found = database.execute(f"SELECT {spool_file.SIZE} FROM row WHERE seq = ?", (seq,)).fetchone()  # noqa: S608 - a constant
        if found is None:
            continue
        database.execute("DELETE FROM row WHERE seq = ?", (seq,))
        stored = stored.without(1, found[0])
        gone += 1
    return replace(stored, account=book(stored.account, gone)), gone


def _too_old(account: Account, rows: int) -> Account:
    return account.with_dropped("age", rows)


def _too_many(account: Account, rows: int) -> Account:
    return account.with_dropped("full", rows)


def _damaged(account: Account, rows: int) -> Account:
    return account.with_dropped("damaged", rows)


def _marked(stored: _Stored, *, in_use: bool) -> _Stored:
    return replace(stored, account=replace(stored.account, in_use=in_use))


def _saved(saved: int, lost: int | None) -> str:
    return f"{saved} rows saved, {'how many are lost is not known' if lost is None else f'{lost} lost'}"


def _in_words(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
