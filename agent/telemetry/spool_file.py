"""The spool's SQLite file: how it is opened, checked and moved aside, and where its sequence numbers come from."""

import sqlite3
import time
from pathlib import Path

from agent.telemetry.durable_number import read_number, write_number

SCHEMA_VERSION = 1
# How many seqs one write to the high-water file reserves.
RESERVED_SEQS = 1000

_SCHEMA = f"""
BEGIN;
CREATE TABLE row (
  seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, at REAL NOT NULL, bytes INTEGER NOT NULL
);
CREATE INDEX row_at ON row (at);
CREATE TABLE counter (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

# Primary result codes are the low byte of extended ones (sqlite.org/rescode.html).
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


class SpoolFileError(Exception):
    """A file that SQLite reads but that is no spool of this version."""


def open_file(path: Path) -> sqlite3.Connection:
    """An open, checked spool, made if it is missing. Raises sqlite3.Error, OSError or SpoolFileError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # NORMAL would survive a kill but lose the last commits in a power cut (sqlite.org/wal.html).
        database.execute("PRAGMA synchronous = FULL")
        # On macOS fsync does not reach the medium; elsewhere this does nothing.
        database.execute("PRAGMA fullfsync = 1")
        database.execute("PRAGMA journal_size_limit = 1048576")
        _check(database)
    except BaseException:
        database.close()
        raise
    return database


def _check(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and tables == 0:
        database.executescript(_SCHEMA)
        return
    if version != SCHEMA_VERSION:
        msg = f"found schema version {version} with {tables} tables, allowed is {SCHEMA_VERSION}"
        raise SpoolFileError(msg)
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        msg = f"found damage: {verdict}"
        raise SpoolFileError(msg)


def is_damage(error: Exception) -> bool:
    """Whether the file itself is bad, as opposed to a full, slow or forbidden disk that may recover."""
    if isinstance(error, SpoolFileError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE


def move_aside(path: Path, error: Exception) -> str:
    """Rename a damaged spool to `<name>.damaged`, in place of an earlier one, and say so. Raises OSError."""
    aside = path.with_name(path.name + ".damaged")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        # A left-over journal would be replayed into the new file.
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return f"spool {path}: {error}; moved aside to {aside}, its rows are not sent, a new one was begun"


def next_seq(database: sqlite3.Connection, path: Path) -> int:
    """The next sequence number; greater than every one before, even when the database file was lost.

    A small file beside the database holds a number that no seq has passed; a new database starts above it.
    Part of the caller's transaction. Raises sqlite3.Error or OSError.
    """
    reserve = path.with_name(path.name + ".seq")
    found = database.execute("SELECT total FROM counter WHERE name = 'seq'").fetchone()
    seq = (found[0] if found else _floor(path, reserve)) + 1
    if not found or seq % RESERVED_SEQS == 0:
        write_number(reserve, (seq // RESERVED_SEQS + 1) * RESERVED_SEQS)
    database.execute("INSERT INTO counter VALUES ('seq', ?1) ON CONFLICT (name) DO UPDATE SET total = ?1", (seq,))
    return seq


def _floor(path: Path, reserve: Path) -> int:
    reserved = read_number(reserve)
    if reserved is not None:
        return reserved
    # Both files lost: milliseconds of Unix time are above any count of rows (the clock permitting).
    lost = reserve.exists() or path.with_name(path.name + ".damaged").exists()
    return int(time.time() * 1000) if lost else 0
