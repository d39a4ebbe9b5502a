"""What is done inside one transaction: each takes what is stored and returns what is stored after it."""

import sqlite3
from collections.abc import Callable, Collection, Sequence

from tidegate.telemetry.spool import file as spool_file
from tidegate.telemetry.spool.bounds import Bounds, one_batch, to_free, too_old
from tidegate.telemetry.spool.file import PAGE_BYTES, SpoolDamagedError
from tidegate.telemetry.spool.row import Row, row_of
from tidegate.telemetry.spool.stored import Stored

# Makes several windows one to free room; False when none is left to be.
Thin = Callable[[sqlite3.Connection, Stored], tuple[Stored, bool]]

# Pages that a file without rows has, and some in reserve for the tree above the rows.
_FIXED_PAGES = 16


def put(database: sqlite3.Connection, stored: Stored, rows: Sequence[Row], bounds: Bounds, thin: Thin) -> Stored:
    """With these rows; others give way to them, and one too large is only counted."""
    stored = stored.with_account(stored.account.with_put(len(rows), last_seq=max(row.seq for row in rows)))
    for row in rows:
        if not bounds.allow(row):
            stored = stored.with_account(stored.account.with_dropped("full", 1))
            continue
        stored = _make_room(database, stored, row.size_bytes, bounds.max_bytes, thin)
        spool_file.insert(database, (row,))
        stored = stored.with_row(row.size_bytes)
    return stored


def replace(database: sqlite3.Connection, stored: Stored, rows: Sequence[Row], ahead: Sequence[int]) -> Stored:
    """Without what a failed try to put these rows has left; `ahead` of them may have been sent before others."""
    stored, gone = _delete(database, stored, [row.seq for row in rows])
    account = stored.account.with_put(-gone)
    if ahead:
        if account.ahead is not None and not spool_file.telemetry_within(database, *account.ahead):
            account = account.with_nothing_ahead()
        account = account.with_ahead(ahead[0], ahead[-1])
    return stored.with_account(account)


def read(
    database: sqlite3.Connection,
    stored: Stored,
    seq: int,
    limit: int,
    excluding: Collection[str],
    telemetry: bool | None,
) -> tuple[Stored, tuple[Row, ...]]:
    """The whole rows behind `seq`, as `file.after`; damaged ones met on the way are dropped and counted."""
    while True:
        found = spool_file.after(database, seq, limit, excluding, telemetry)
        rows = [(columns[0], row_of(*columns)) for columns in found]
        damaged = [number for number, row in rows if row is None]
        if not damaged:
            return stored, tuple(row for _, row in rows if row is not None)
        stored, _ = drop(database, stored, damaged, "damaged")


def acknowledge(database: sqlite3.Connection, stored: Stored, seqs: Collection[int]) -> Stored:
    """Without the rows that the broker has."""
    stored, gone = _delete(database, stored, seqs)
    return stored.with_account(stored.account.with_acknowledged(gone))


def drop(database: sqlite3.Connection, stored: Stored, seqs: Collection[int], reason: str) -> tuple[Stored, int]:
    """Without rows that are given up, and how many of them there were."""
    stored, gone = _delete(database, stored, seqs)
    return stored.with_account(stored.account.with_dropped(reason, gone)), gone


def drop_aged(database: sqlite3.Connection, stored: Stored, oldest_at: float) -> tuple[Stored, bool]:
    """Without the oldest rows that are too old, as many as one transaction takes; and whether more are left."""
    old = too_old(spool_file.oldest(database), oldest_at)
    return drop(database, stored, old.seqs, "age")[0], old.more


def drop_all_aged(database: sqlite3.Connection, stored: Stored, oldest_at: float) -> tuple[Stored, bool]:
    """As `drop_aged`, and also finds rows that lie behind younger ones; it reads every row for that."""
    old = one_batch(spool_file.older_than(database, oldest_at))
    return drop(database, stored, old.seqs, "age")[0], old.more


def _make_room(
    database: sqlite3.Connection, stored: Stored, size_bytes: int, max_bytes: int, thin: Thin
) -> Stored:
    """With room for `size_bytes` more, by rows and by pages of the file.

    Telemetry is thinned as far as it goes, then the oldest of it give way, and events at last.
    """
    pages = max_bytes // PAGE_BYTES + _FIXED_PAGES - size_bytes // PAGE_BYTES - 2
    while stored.rows:
        excess_bytes = stored.size_bytes + size_bytes - max_bytes
        crowded = spool_file.used_pages(database) > pages
        if excess_bytes <= 0 and not crowded:
            break
        stored, thinned = thin(database, stored)
        if thinned:
            continue
        wanted_bytes = max(excess_bytes, PAGE_BYTES if crowded else 1)
        going = to_free(spool_file.oldest(database, telemetry=True), wanted_bytes)
        going = going or to_free(spool_file.oldest(database), wanted_bytes)
        if not going:
            raise SpoolDamagedError(f"{stored.rows} rows are counted and none is found")
        stored, _ = drop(database, stored, going, "full")
    return stored


def _delete(database: sqlite3.Connection, stored: Stored, seqs: Collection[int]) -> tuple[Stored, int]:
    gone, size_bytes = spool_file.delete(database, seqs)
    return stored.without_rows(gone, size_bytes), gone
