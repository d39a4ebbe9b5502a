"""A damaged spool: moved aside, and what is still whole in it read back row by row."""

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from tidegate.files import clear_way
from tidegate.telemetry.spool import file as spool_file
from tidegate.telemetry.spool.account import Account, open_account
from tidegate.telemetry.spool.file import PAGE_BYTES
from tidegate.telemetry.spool.row import Row, plausible, row_of, unchecked_row

# A start must not hang on a disk that takes seconds for every bad block.
_PATIENCE_S = 10.0
_JOURNALS = ("-wal", "-shm", "-journal")
# Offsets in the first page (sqlite.org/fileformat2.html, section 1.3).
_PAGES_AT, _FREELIST_AT, _APPLICATION_AT, _HEADER_BYTES = 28, 32, 68, 100


def move_aside(path: Path) -> Path:
    """Rename a spool that can't be used, with its journal, to `<name>.damaged`, in place of an earlier one.

    Raises OSError.
    """
    aside = path.with_name(path.name + ".damaged")
    for suffix in ("", *_JOURNALS):
        _remove(aside.with_name(aside.name + suffix))
    if os.path.lexists(path):
        path.rename(aside)
    for suffix in _JOURNALS:
        journal = path.with_name(path.name + suffix)
        if suffix == "-wal" and journal.is_file():
            journal.rename(aside.with_name(aside.name + suffix))
        else:
            # Left beside the new file, it would be replayed into that.
            _remove(journal)
    return aside


def move_back(aside: Path, path: Path) -> None:
    """Undo `move_aside`, in place of what stands there now. Raises OSError."""
    for suffix in ("", *_JOURNALS):
        _remove(path.with_name(path.name + suffix))
        kept = aside.with_name(aside.name + suffix)
        if os.path.lexists(kept):
            kept.rename(path.with_name(path.name + suffix))


def _remove(path: Path) -> None:
    clear_way(path)
    path.unlink(missing_ok=True)


def salvage_account(aside: Path) -> Account | None:
    """The totals in a spool moved aside, None when they are damaged too."""
    with suppress(sqlite3.Error, OSError), closing(_connect(aside)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == spool_file.FORMER_VERSION:
            return _former_account(database)
        sealed = database.execute("SELECT sealed FROM account WHERE id = 1").fetchone()
        return None if sealed is None else open_account(sealed[0])
    return None


def salvage_rows(aside: Path) -> Iterator[Row]:
    """The rows in a spool moved aside that are as they were written, by number. Raises nothing."""
    if not aside.is_file():
        return
    last = 0
    for mend in (False, True):
        with suppress(sqlite3.Error, OSError):
            if mend and not _mend_first_page(aside):
                return
            with closing(_connect(aside)) as database:
                for row in _rows(database, last):
                    last = row.seq
                    yield row
                return


def rows_of(database: sqlite3.Connection) -> Iterator[Row]:
    """The whole rows of an open file, by number, stepping over what can't be read. Raises nothing."""
    with suppress(sqlite3.Error):
        yield from _rows(database, 0)


def _connect(aside: Path) -> sqlite3.Connection:
    database = spool_file.connect(aside)
    # A schema that can't be parsed is then an error of the statement, not of the connection.
    database.execute("PRAGMA writable_schema = ON")
    return database


def _rows(database: sqlite3.Connection, last: int) -> Iterator[Row]:
    """Raises sqlite3.Error when not even the first row or the last can be asked for."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    former = version == spool_file.FORMER_VERSION
    columns = "seq, topic, payload, at" if former else "seq, topic, payload, at, crc"
    query = f"SELECT {columns} FROM row WHERE seq > ? ORDER BY seq"  # noqa: S608 - two constants
    deadline = time.monotonic() + _PATIENCE_S
    step = 0
    highest: int | None = None
    while time.monotonic() < deadline:
        try:
            for found in database.execute(query, (last + step,)):
                step = 0
                last = found[0] if isinstance(found[0], int) else last
                row = unchecked_row(*found) if former else row_of(*found)
                if row is not None and (not former or plausible(row)):
                    yield row
        except (sqlite3.Error, OverflowError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
                raise  # the tables have other names than ours: not a page, but the schema is damaged
            # A page that can't be read: on the other side of it there may be more.
            if highest is None:
                (highest,) = database.execute("SELECT seq FROM row ORDER BY seq DESC LIMIT 1").fetchone() or (
                    last,
                )
            step = step * 2 if step >= 16 else step + 1
            if last + step >= highest:
                return
        else:
            return


def _former_account(database: sqlite3.Connection) -> Account:
    """The totals as tidegate 0.1 kept them, one row each."""
    totals = {
        name.decode(errors="replace"): total
        for name, total in database.execute("SELECT name, total FROM counter")
        if isinstance(name, bytes) and isinstance(total, int) and total >= 0
    }
    dropped = {name.removeprefix("dropped_"): n for name, n in totals.items() if name.startswith("dropped_")}
    return Account(totals.get("seq", 0), totals.get("put", 0), totals.get("acknowledged", 0), dropped)


def _mend_first_page(aside: Path) -> bool:
    """Give a spool of this version the first page of a new one, whose tables begin on the same pages.

    The schema and the header are the same in every spool, but for the number of pages and the list of free ones.
    False for a file that was never a spool of this version. Raises OSError or sqlite3.Error.
    """
    with aside.open("r+b") as file:
        damaged = file.read(PAGE_BYTES)
        pages = file.seek(0, os.SEEK_END) // PAGE_BYTES
        if len(damaged) < PAGE_BYTES or not _was_ours(damaged):
            return False
        with tempfile.TemporaryDirectory() as directory:
            new = Path(directory) / "spool.db"
            database, _ = spool_file.open_file(new)
            database.close()
            first = bytearray(new.read_bytes()[:PAGE_BYTES])
        first[_PAGES_AT : _PAGES_AT + 4] = pages.to_bytes(4, "big")
        first[_FREELIST_AT : _FREELIST_AT + 8] = bytes(8)
        file.seek(0)
        file.write(first)
    # What it holds was written back when it could be read; what could not would undo the mending.
    aside.with_name(aside.name + "-wal").unlink(missing_ok=True)
    return True


def _was_ours(page: bytes) -> bool:
    """By the application's mark, or, where that is damaged, by the words of the schema."""
    ours = spool_file.APPLICATION_ID.to_bytes(4, "big")
    return page[_APPLICATION_AT : _APPLICATION_AT + 4] == ours or b"crc INTEGER NOT NULL" in page[_HEADER_BYTES:]
