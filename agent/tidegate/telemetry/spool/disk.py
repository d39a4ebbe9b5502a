"""The spool's file over its life: opened, checked, changed in transactions, begun anew when it is damaged."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tidegate.telemetry.spool import file as spool_file
from tidegate.telemetry.spool import salvage, wal
from tidegate.telemetry.spool.account import Account
from tidegate.telemetry.spool.file import SpoolDamagedError
from tidegate.telemetry.spool.refill import Refilled, refill
from tidegate.telemetry.spool.row import Row
from tidegate.telemetry.spool.sequence import Sequence, now_ms
from tidegate.telemetry.spool.stored import Stored

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ERRORS = (sqlite3.Error, SpoolDamagedError, OSError, OverflowError)
# Of a write that failed: damage is mended once, room is made once, and then it must work.
_ATTEMPTS = 3


class Disk:
    """One spool's file and the numbers that it has given; used under the spool's lock.

    Raises nothing for the state of the disk: `problem` says why it takes nothing now.
    """

    def __init__(self, path: Path) -> None:
        # How long a disk that refused is left alone; a full one is asked again every time.
        self.retry_s = 1.0
        self.retry_at = 0.0
        self.problem: str | None = None
        # One more at every opening of the file: rows may have come to light that were not there before.
        self.generation = 0
        self.database: sqlite3.Connection | None = None
        self.sequence = Sequence(path.with_name(path.name + ".seq"))
        self.last_seq = 0
        self._path = path
        self._inode: tuple[int, int] | None = None
        self._stored: Stored | None = None
        # What became of rows in memory; the next transaction takes it to the disk.
        self._unbooked = Account()
        self._incidents: list[str] = []

    def change(self, work: Callable[[sqlite3.Connection, Stored], tuple[Stored, T]]) -> T | None:
        """Do `work` in one transaction; its answer, None when the disk does not allow it.

        `work` takes what is stored and returns what is stored after it, and an answer that is not None. It may be
        called again, on another file.
        """
        if self.database is None and time.monotonic() < self.retry_at:
            return None
        for _ in range(_ATTEMPTS):
            try:
                return self._transaction(work)
            except _ERRORS as error:
                if not self._mended(error):
                    return None
        return None

    def book(self, change: Account) -> None:
        """Add what became of rows that never were on the disk."""
        self._unbooked = self._unbooked.plus(change)

    @property
    def stored(self) -> Stored | None:
        """What is on the disk with all that is booked, None while a file is there that could not be read yet."""
        if self._stored is None and self._holds_something():
            return None
        stored = self._stored or Stored()
        return stored.with_account(stored.account.plus(self._unbooked))

    def next_seq(self) -> int:
        """A number for a row that goes to the disk now; only an opened file tells the last one."""
        self.last_seq += 1
        return self.last_seq

    def seq_without_disk(self, seq: int | None) -> int:
        """A number for a row that only memory has, `seq` if it was given one; no restart gives it again."""
        if self._stored is None:
            self.last_seq = max(self.last_seq, self.sequence.floor(lost=self._holds_something()))
        number = self.last_seq + 1 if seq is None else seq
        try:
            self.sequence.guard(number)
        except OSError:
            number = max(number, now_ms())
        self.last_seq = max(self.last_seq, number)
        return number

    def note_recovery(self) -> None:
        """All that waited for the disk is on it."""
        if self.problem is not None:
            logger.info("spool %s: works again", self._path)
            self.problem = None

    def take_incidents(self) -> tuple[str, ...]:
        """What happened to the file since the last call, in sentences."""
        incidents, self._incidents = tuple(self._incidents), []
        return incidents

    def close(self) -> None:
        """Close the file; the next change opens it again."""
        if self.database is not None:
            with suppress(sqlite3.Error):
                self.database.close()
            self.database = None

    def _holds_something(self) -> bool:
        """Whether there is a file with something in it, which a full disk does not leave of a new one."""
        try:
            return self._path.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True

    # One transaction, and what is done about its failure

    def _transaction(self, work: Callable[[sqlite3.Connection, Stored], tuple[Stored, T]]) -> T:
        database = self._open()
        before = self._stored or Stored()
        booked = before.with_account(before.account.plus(self._unbooked))
        database.execute("BEGIN IMMEDIATE")
        try:
            after, answer = work(database, booked)
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
        return answer

    def _mended(self, error: Exception) -> bool:
        """Do what can be done about an error; True when another attempt may go better."""
        if spool_file.is_damage(error):
            return self._begin_anew(str(error))
        self._note(f"spool {self._path}: {_in_words(error)}")
        full = spool_file.is_full(error)
        if full and self.database is not None and self._made_room():
            return True
        if self.database is None or not full:
            self._leave_alone()
        return False

    def _made_room(self) -> bool:
        """Give back what the spool itself takes without need: its log, and a damaged predecessor. True if any."""
        freed = False
        log = self._path.with_name(self._path.name + "-wal")
        with suppress(OSError, sqlite3.Error):
            if self.database is not None and log.stat().st_size:
                self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                freed = log.stat().st_size == 0
        with suppress(OSError):
            self._path.with_name(self._path.name + ".damaged").unlink()
            freed = True
        return freed

    def _leave_alone(self) -> None:
        self.retry_at = time.monotonic() + self.retry_s
        self.close()

    # Opening

    def _open(self) -> sqlite3.Connection:
        if self.database is not None and self._inode != _inode(self._path):
            self._move_out()
        if self.database is not None:
            return self.database
        database, held = self._opened()
        try:
            self._take_over(database, held)
        except BaseException:
            # Open and unknown, it would be taken for an empty one.
            self.close()
            raise
        return database

    def _opened(self) -> tuple[sqlite3.Connection, spool_file.Held]:
        database, held = spool_file.open_file(self._path)
        self.database, self._inode = database, _inode(self._path)
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
            seq = self.sequence.floor(lost=self._path.with_name(self._path.name + ".damaged").exists())
            if seq and self.last_seq < seq:
                self._tell("it was missing or empty; what waited in it is lost, how much is not known")
        else:
            seq = self.sequence.resume(account.seq, lost=lost)
        self.last_seq = max(self.last_seq, seq)
        self._stored = Stored(account, held.rows, held.size_bytes).marked(in_use=True)
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
        log = self._path.with_name(self._path.name + "-wal")
        return wal.lost_commits(log, max(0, frames), in_use=account.in_use)

    # A new file in place of a lost one

    def _begin_anew(self, why: str) -> bool:
        """Move a damaged file aside and begin a new one with what is whole in the old. False if it can't."""
        known = self._stored
        self.close()
        aside = None
        try:
            aside = salvage.move_aside(self._path)
            account = known.account if known is not None else salvage.salvage_account(aside)
            refilled = self._refill(account, salvage.salvage_rows(aside))
        except _ERRORS as error:
            self._note(f"spool {self._path}: damaged ({why}), and no new one can be begun: {_in_words(error)}")
            self._leave_alone()
            self._stored = known
            if aside is not None:
                # As it was: when the disk takes a new file, there is something to save from.
                with suppress(OSError):
                    salvage.move_back(aside, self._path)
            return False
        self._tell(f"damaged ({why}); moved aside to {aside.name}, {refilled}")
        return True

    def _move_out(self) -> None:
        """The file was removed or replaced under us: take the rows along while it is still open."""
        old, known = self.database, self._stored
        self.database = None
        self._stored = None
        if old is None or known is None:
            return
        try:
            if os.path.lexists(self._path):
                salvage.move_aside(self._path)
            self._tell(f"removed while in use; begun anew, {self._refill(known.account, salvage.rows_of(old))}")
        except _ERRORS:
            # Nothing of it is on any disk now, so that it is all in memory or lost.
            self.close()
            self.book(known.account.balanced(0))
            raise
        finally:
            with suppress(sqlite3.Error):
                old.close()

    def _refill(self, account: Account | None, rows: Iterator[Row]) -> Refilled:
        self._stored = None
        database, held = self._opened()
        if held.rows:
            raise SpoolDamagedError("the new file has rows already")
        self.last_seq = max(self.last_seq, self.sequence.floor(lost=True))
        with suppress(OSError):
            # The directory may be a new one, without it.
            self.sequence.renew(self.last_seq)
        refilled = refill(database, account, self.last_seq, rows)
        self._stored = refilled.stored
        self.last_seq = max(self.last_seq, refilled.stored.account.seq)
        return refilled

    def _tell(self, incident: str) -> None:
        said = f"spool {self._path}: {incident}"
        logger.warning("%s", said)
        self._incidents.append(said)

    def _note(self, problem: str) -> None:
        # A full disk fails every put: say it once, count the rest.
        if problem != self.problem:
            logger.warning("%s; rows are kept in memory until it works", problem)
        self.problem = problem


def _in_words(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
