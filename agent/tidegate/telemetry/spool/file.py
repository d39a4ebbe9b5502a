"""The spool's SQLite file: how it is made and opened, what is read from it, and which errors mean damage."""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tidegate.files import clear_way
from tidegate.telemetry.spool.account import Account, open_account, seal_account
from tidegate.telemetry.spool.row import ROW_OVERHEAD_BYTES, Row
from tidegate.telemetry.spool.thinning import Waiting

SCHEMA_VERSION = 2
# The schema of tidegate 0.1, whose rows have no checksum.
FORMER_VERSION = 1
PAGE_BYTES = 4096
# Bytes 68 to 71 of the file: "tdgt", which tells a damaged spool from somebody else's database.
APPLICATION_ID = 0x74646774

_TABLES = (
    """CREATE TABLE row (
  seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, at REAL NOT NULL, crc INTEGER NOT NULL
)""",
    "CREATE TABLE account (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
)

# The write-ahead log is written back at 64 pages (256 KiB), earlier where little room is left on the disk.
_MAX_WAL_PAGES = 64
_MIN_WAL_PAGES = 8
_SHARE_OF_FREE = 8

# The disk's doing: it may recover, and then the file is as good as before. Primary codes, the low byte of extended
# ones (sqlite.org/rescode.html). Everything else a constant statement can raise means that the file is not ours.
_DISK = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
    }
)
# Of the disk's errors those that tell of the file after all: cut short, or a failed checksum of the file system.
_DAMAGED_READ = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, 8202, 8458})

# Also of a row that damage has left without a topic or a payload.
_SIZE = (
    f"coalesce(length(CAST(topic AS BLOB)), 0) + coalesce(length(CAST(payload AS BLOB)), 0) + {ROW_OVERHEAD_BYTES}"
)

# Question marks of one statement: SQLite allowed 999 before 3.32.
_MOST_VARIABLES = 500

_CACHE_KIB = 128

# By its topic; `LIKE` would ignore case.
_TELEMETRY = "substr(topic, -10) = '/telemetry'"


class SpoolDamagedError(Exception):
    """A file that SQLite reads but that is not as a spool of this version was written."""


class Held(NamedTuple):
    """What an opened file holds: its account (None if that is damaged), and its rows by number and size."""

    account: Account | None
    rows: int
    size_bytes: int
    version: int


def open_file(path: Path) -> tuple[sqlite3.Connection, Held]:
    """An open, checked spool, made if it is missing. Raises sqlite3.Error, OSError or SpoolDamagedError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path) and not path.is_file():
        raise SpoolDamagedError("it is not a file")
    log = path.with_name(path.name + "-wal")
    clear_way(log)
    if path.exists() and path.stat().st_size == 0:
        # A log that outlived the file it belongs to would be replayed into the new one.
        log.unlink(missing_ok=True)
    database = connect(path)
    try:
        return database, _check(database)
    except BaseException:
        database.close()
        raise


def connect(path: Path) -> sqlite3.Connection:
    """A connection for this process alone: without shared memory beside the file there is none to be damaged.

    Raises sqlite3.Error.
    """
    database = sqlite3.connect(path, timeout=0.25, isolation_level=None, check_same_thread=False)
    try:
        # What is no UTF-8 any more shall reach us, not end in an error of the module's.
        database.text_factory = bytes
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        # Negative is in KiB. SQLite's own is 2 MB, which fill as pages are touched; rows are read once, in order,
        # so that `bench spool` drains as fast without.
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        database.execute("PRAGMA journal_mode = WAL")
        # NORMAL would survive a kill but lose the last commits in a power cut (sqlite.org/wal.html).
        database.execute("PRAGMA synchronous = FULL")
        # On macOS fsync does not reach the medium; elsewhere this does nothing.
        database.execute("PRAGMA fullfsync = 1")
        pages = _wal_pages(path)
        database.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        # Cut to whole frames: a page and 24 bytes each, behind a header of 32.
        database.execute(f"PRAGMA journal_size_limit = {32 + pages * (24 + PAGE_BYTES)}")
    except BaseException:
        database.close()
        raise
    return database


def _wal_pages(path: Path) -> int:
    found = os.statvfs(path.parent)
    free = found.f_bavail * found.f_frsize // PAGE_BYTES
    return max(_MIN_WAL_PAGES, min(_MAX_WAL_PAGES, free // _SHARE_OF_FREE))


def _check(database: sqlite3.Connection) -> Held:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    found = [sql for (sql,) in database.execute("SELECT sql FROM sqlite_master ORDER BY rowid")]
    if version == 0 and not found:
        _make(database)
    elif version != SCHEMA_VERSION or found != [table.encode() for table in _TABLES]:
        raise SpoolDamagedError(
            f"found schema version {version} with {len(found)} tables, allowed is {SCHEMA_VERSION} as it was made"
        )
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != b"ok":
        raise SpoolDamagedError(f"found damage: {verdict.decode(errors='replace')}")
    sealed = database.execute("SELECT sealed FROM account WHERE id = 1").fetchone()
    rows, size = database.execute(f"SELECT count(*), coalesce(sum({_SIZE}), 0) FROM row").fetchone()  # noqa: S608 - a constant
    return Held(None if sealed is None else open_account(sealed[0]), rows, int(size), version)


def _make(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        for table in _TABLES:
            database.execute(table)
        write_account(database, Account())
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def is_damage(error: Exception) -> bool:
    """Whether the file itself is bad, as opposed to a full, slow or forbidden disk that may recover."""
    if isinstance(error, SpoolDamagedError | OverflowError):
        return True
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code in _DAMAGED_READ or code & 0xFF not in _DISK)


def is_full(error: Exception) -> bool:
    """Whether there was no room for it."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def write_account(database: sqlite3.Connection, account: Account) -> None:
    """Replace the totals, as part of the caller's transaction."""
    database.execute("INSERT OR REPLACE INTO account VALUES (1, ?)", (seal_account(account),))


def insert(database: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Add rows, as part of the caller's transaction."""
    database.executemany(
        "INSERT INTO row VALUES (?, ?, ?, ?, ?)", ((r.seq, r.topic, r.payload, r.at, r.crc) for r in rows)
    )


def delete(database: sqlite3.Connection, seqs: Collection[int]) -> tuple[int, int]:
    """Remove rows, as part of the caller's transaction: how many there were, and their size together."""
    numbers, rows, size_bytes = list(seqs), 0, 0
    for begin in range(0, len(numbers), _MOST_VARIABLES):
        some = numbers[begin : begin + _MOST_VARIABLES]
        which = f"FROM row WHERE seq IN ({','.join('?' * len(some))})"
        found = database.execute(f"SELECT count(*), coalesce(sum({_SIZE}), 0) {which}", some).fetchone()
        database.execute(f"DELETE {which}", some)
        rows, size_bytes = rows + int(found[0]), size_bytes + int(found[1])
    return rows, size_bytes


def sizes(database: sqlite3.Connection, seqs: Collection[int]) -> dict[int, int]:
    """Of those of these rows that are there."""
    query = f"SELECT seq, {_SIZE} FROM row WHERE seq IN ({','.join('?' * len(seqs))})"  # noqa: S608 - only question marks
    return {int(seq): int(size) for seq, size in database.execute(query, tuple(seqs))}


def after(
    database: sqlite3.Connection, seq: int, limit: int, excluding: Collection[str], telemetry: bool | None = None
) -> list[tuple[Any, Any, Any, Any, Any]]:
    """The columns of `row_of` for at most `limit` rows behind `seq`; of any type in a damaged row.

    Windows of telemetry alone, or all but them, or (None) both.
    """
    holes = ",".join("?" * len(excluding))
    kind = {True: f"AND {_TELEMETRY}", False: f"AND NOT {_TELEMETRY}", None: ""}[telemetry]
    query = (
        "SELECT seq, topic, payload, at, crc FROM row "  # noqa: S608 - constants and question marks
        f"WHERE seq > ? AND topic NOT IN ({holes}) {kind} ORDER BY seq LIMIT ?"
    )
    return database.execute(query, (seq, *excluding, limit)).fetchall()


def is_telemetry(topic: str) -> bool:
    """Whether a row of this topic is a window of telemetry, by the same rule as the statements here."""
    return topic.endswith("/telemetry")


def telemetry_after(database: sqlite3.Connection, seq: int) -> Iterator[Waiting]:
    """The windows behind `seq`, oldest first, without those that damage has left without a number or a name."""
    query = f"SELECT seq, topic, at, {_SIZE} FROM row WHERE seq > ? AND {_TELEMETRY} ORDER BY seq"  # noqa: S608 - constants
    for number, topic, at, size_bytes in database.execute(query, (seq,)):
        if isinstance(at, float) and isinstance(topic, bytes):
            yield Waiting(number, topic.decode(errors="replace"), at, size_bytes)


def nth_telemetry(database: sqlite3.Connection, count: int) -> dict[str, int]:
    """By topic the number of the `count`-th window, of the last where there are fewer."""
    numbered = (
        f"SELECT topic, seq, row_number() OVER (PARTITION BY topic ORDER BY seq) nth FROM row WHERE {_TELEMETRY}"  # noqa: S608 - constants
    )
    query = f"SELECT topic, max(seq) FROM ({numbered}) WHERE nth <= ? GROUP BY topic"  # noqa: S608 - constants
    found = database.execute(query, (count,))
    return {topic.decode(errors="replace"): seq for topic, seq in found if isinstance(topic, bytes)}


def telemetry_within(database: sqlite3.Connection, first: int, last: int) -> bool:
    """Whether a window has a number from `first` to `last`."""
    query = f"SELECT 1 FROM row WHERE seq BETWEEN ? AND ? AND {_TELEMETRY} LIMIT 1"  # noqa: S608 - constants
    return database.execute(query, (first, last)).fetchone() is not None


def rows_numbered(database: sqlite3.Connection, seqs: Collection[int]) -> list[tuple[Any, Any, Any, Any, Any]]:
    """The columns of `row_of` for these rows, by number; of any type in a damaged row."""
    holes = ",".join("?" * len(seqs))
    query = f"SELECT seq, topic, payload, at, crc FROM row WHERE seq IN ({holes}) ORDER BY seq"  # noqa: S608 - only question marks
    return database.execute(query, tuple(seqs)).fetchall()


def used_pages(database: sqlite3.Connection) -> int:
    """Pages of the file that are not free for new rows."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    return int(pages) - int(free)


def oldest(database: sqlite3.Connection, *, telemetry: bool = False) -> Iterator[tuple[int, object, int]]:
    """Seq, time and size of the rows, or of the windows of telemetry alone, oldest first.

    Times are of any type in a damaged row.
    """
    kind = f"WHERE {_TELEMETRY}" if telemetry else ""
    return iter(database.execute(f"SELECT seq, at, {_SIZE} FROM row {kind} ORDER BY seq"))  # noqa: S608 - constants


def older_than(database: sqlite3.Connection, at: float) -> Iterator[tuple[int, int]]:
    """Seq and size of the rows put before `at`, wherever they lie."""
    return iter(database.execute(f"SELECT seq, {_SIZE} FROM row WHERE at < ? ORDER BY seq", (at,)))  # noqa: S608 - a constant
