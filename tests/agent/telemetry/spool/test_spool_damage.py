"""Damaged spools: whatever byte is wrong, rows flow again, what is lost is counted, and the accounts balance."""

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate.telemetry.spool import Spool

NOW = 1_750_000_000.0
TOPIC = "tidegate/cam-1/telemetry"
ROWS = 40


def spool_at(path: Path) -> Spool:
    return Spool(path, 4 << 20, 7 * 86400.0)


def filled(path: Path, *, killed: bool) -> tuple[list[int], dict[int, bytes]]:
    """A real spool on disk as a kill or an orderly end leaves it; its waiting seqs, and each row's payload."""
    maker = path.with_name("maker.db")
    spool = spool_at(maker)
    for number in range(ROWS):
        spool.put(TOPIC, {"text": f"{number}-" * random.Random(number).randrange(400)}, NOW)
    spool.acknowledge(1, 2, 3)
    spool.drop(4, "refused")
    rows = {row.seq: row.payload for row in spool.after(0, 1000)}
    if not killed:
        spool.close()
    for suffix in ("", "-wal", ".seq"):
        if maker.with_name(maker.name + suffix).exists():
            shutil.copy(maker.with_name(maker.name + suffix), path.with_name(path.name + suffix))
    spool.close()
    for suffix in ("", "-wal", ".seq"):
        maker.with_name(maker.name + suffix).unlink(missing_ok=True)
    return list(rows), rows


def assert_works(path: Path, before: dict[int, bytes]) -> set[int]:
    """Start and send as the agent does: put, send all, restart, put. The old rows that came through."""
    spool = spool_at(path)
    new = spool.put(TOPIC, {"new": True}, NOW)
    assert new > ROWS, "a number already used"
    found = {row.seq: row.payload for row in spool.after(0, 10_000)}
    assert new in found
    for seq, payload in found.items():
        assert json.loads(payload)["seq"] == seq
        if seq in before:
            assert payload == before[seq], "a row that is not as it was put"
    counters = spool.counters
    assert counters is not None
    assert counters.waiting == len(found)
    assert counters.put == counters.acknowledged + sum(counters.dropped.values()) + counters.waiting
    assert not spool.acknowledge(*found)
    assert spool.problem is None
    spool.close()
    again = spool_at(path)
    assert again.after(0, 10) == ()
    assert again.put(TOPIC, {}, NOW) > new
    assert again.counters is not None
    assert again.counters.put == again.counters.acknowledged + sum(again.counters.dropped.values()) + 1
    again.close()
    assert len(list(path.parent.glob("*.damaged*"))) <= 2, "one damaged file is kept, with its log"
    return set(found) - {new}


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_any_byte_of_the_files_may_be_wrong(quick_path: Path, killed: bool, seed: int) -> None:
    chance = random.Random(seed)
    waiting, rows = filled(quick_path / "original.db", killed=killed)
    original = quick_path / "original.db"
    survived = []
    for attempt in range(25):
        directory = quick_path / str(attempt)
        directory.mkdir()
        path = directory / "spool.db"
        for suffix in ("", "-wal", ".seq"):
            if original.with_name(original.name + suffix).exists():
                shutil.copy(original.with_name(original.name + suffix), path.with_name(path.name + suffix))
        files = [file for file in directory.iterdir() if not file.name.endswith(".seq")]
        file = chance.choice(files)
        content = bytearray(file.read_bytes())
        # The first pages hold the structure, so half of the damage goes there.
        where = chance.randrange(min(len(content), 12_288) if chance.random() < 0.5 else len(content))
        length = chance.choice([1, 1, 1, 4, 64, 512])
        for at in range(where, min(len(content), where + length)):
            content[at] ^= chance.randrange(1, 256)
        file.write_bytes(content)
        survived.append(len(assert_works(path, rows) & set(waiting)))
        shutil.rmtree(directory)
    assert sum(survived) / (len(survived) * len(waiting)) > 0.6, survived


def schema_text(path: Path) -> None:
    edit(path, b"CREATE TABLE row", b"CREATE TABEL row")


def schema_with_another_name(path: Path) -> None:
    edit(path, b"topic TEXT NOT", b"tobic TEXT NOT")


def table_name(path: Path) -> None:
    edit(path, b"tablerowrow", b"tablerowrov")


def user_version(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(60)
        file.write(b"\0\0\0\x63")


def magic(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"SQLite formaT 3\0")


def totals(path: Path) -> None:
    edit(path, b'"acknowledged":3', b'"acknowledged":7')


def edit(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))


@pytest.mark.parametrize(
    "damage", [schema_text, schema_with_another_name, table_name, user_version, magic, totals]
)
def test_damage_outside_the_rows_costs_no_row(quick_path: Path, damage: Callable[[Path], None]) -> None:
    path = quick_path / "spool.db"
    waiting, rows = filled(path, killed=False)
    damage(path)
    assert assert_works(path, rows) == set(waiting)


def test_one_wrong_byte_in_a_row_costs_that_row_and_is_counted(quick_path: Path) -> None:
    path = quick_path / "spool.db"
    waiting, rows = filled(path, killed=False)
    longest = max(rows, key=lambda seq: len(rows[seq]))
    edit(path, rows[longest][-60:], rows[longest][-60:].replace(b"-", b"+", 1))
    spool = spool_at(path)
    assert [row.seq for row in spool.after(0, 1000)] == [seq for seq in waiting if seq != longest]
    assert spool.counters is not None
    assert spool.counters.dropped == {"refused": 1, "damaged": 1}
    spool.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE row SET payload = 'text' WHERE seq = 10",
        "UPDATE row SET payload = 1.5 WHERE seq = 10",
        "UPDATE row SET topic = x'ff00' WHERE seq = 10",
        "UPDATE row SET topic = 'tidegate/#' WHERE seq = 10",
        "UPDATE row SET at = 'yesterday' WHERE seq = 10",
        "UPDATE row SET crc = NULL WHERE seq = 10",
        "UPDATE row SET seq = 9000000000000000000 WHERE seq = 10",
        "DELETE FROM row WHERE seq = 10",
    ],
)
def test_a_row_of_another_kind_costs_that_row_alone(quick_path: Path, statement: str) -> None:
    path = quick_path / "spool.db"
    waiting, rows = filled(path, killed=False)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        try:
            other.execute(statement)
        except sqlite3.IntegrityError:
            pytest.skip("SQLite itself holds this")
    other.close()
    assert assert_works(path, rows) == set(waiting) - {10}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM account",
        "UPDATE account SET sealed = 'x'",
        "UPDATE account SET sealed = 12",
        "UPDATE account SET id = 2",
        "INSERT INTO account VALUES (2, x'00')",
    ],
)
def test_totals_of_another_kind_cost_no_row(quick_path: Path, statement: str) -> None:
    path = quick_path / "spool.db"
    waiting, rows = filled(path, killed=False)
    with sqlite3.connect(path) as other:
        other.execute(statement)
    other.close()
    assert assert_works(path, rows) == set(waiting)


@pytest.mark.parametrize("name", ["spool.db", "spool.db-wal", "spool.db-shm", "spool.db.seq", "spool.db.damaged"])
@pytest.mark.parametrize(
    "what", ["directory", "full directory", "empty", "text", "nothing", "dangling link", "pipe"]
)
def test_anything_may_stand_where_a_file_belongs(quick_path: Path, name: str, what: str) -> None:
    path = quick_path / "spool.db"
    _, rows = filled(path, killed=True)
    place = quick_path / name
    place.unlink(missing_ok=True)
    match what:
        case "directory":
            place.mkdir()
        case "full directory":
            place.mkdir()
            (place / "mine").write_text("kept")
        case "empty":
            place.touch()
        case "text":
            place.write_text("something else " * 500)
        case "dangling link":
            place.symlink_to(quick_path / "nowhere" / "at all")
        case "pipe":
            os.mkfifo(place)
    assert_works(path, rows)
    assert what != "full directory" or list(quick_path.rglob("mine")), "nothing of a stranger's is deleted"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_files_cut_short(quick_path: Path, share: float, suffix: str) -> None:
    path = quick_path / "spool.db"
    _, rows = filled(path, killed=True)
    place = path.with_name(path.name + suffix)
    with place.open("r+b") as file:
        file.truncate(int(place.stat().st_size * share))
    assert_works(path, rows)


def test_a_log_of_another_spool_is_not_believed(quick_path: Path) -> None:
    path = quick_path / "spool.db"
    filled(path, killed=True)
    log = (quick_path / "spool.db-wal").read_bytes()
    other = spool_at(quick_path / "other.db")
    for _ in range(200):
        other.put(TOPIC, {"text": "y" * 300}, NOW)
    other.close()
    shutil.copy(quick_path / "other.db", path)
    (quick_path / "spool.db-wal").write_bytes(log)
    spool = spool_at(path)
    assert spool.put(TOPIC, {}, NOW) > 200
    spool.close()


def test_file_removed_under_a_running_agent_is_made_again_with_its_rows(quick_path: Path) -> None:
    path = quick_path / "state" / "spool.db"
    spool = spool_at(path)
    before = [spool.put(TOPIC, {"n": number}, NOW) for number in range(20)]
    spool.acknowledge(before[0])
    shutil.rmtree(path.parent)
    seq = spool.put(TOPIC, {}, NOW)
    assert seq > before[-1]
    (incident,) = spool.take_incidents()
    assert "removed" in incident
    spool.close()
    again = spool_at(path)
    assert [row.seq for row in again.after(0, 100)] == [*before[1:], seq]
    assert again.counters is not None
    assert (again.counters.put, again.counters.acknowledged, again.counters.dropped) == (21, 1, {})
    assert again.put(TOPIC, {}, NOW) > seq
    again.close()


def test_the_spool_of_an_older_tidegate_is_carried_over(quick_path: Path) -> None:
    path = quick_path / "spool.db"
    with sqlite3.connect(path) as old:
        old.executescript("""
            PRAGMA journal_mode = WAL;
            CREATE TABLE row (
              seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, at REAL NOT NULL,
              bytes INTEGER NOT NULL
            );
            CREATE INDEX row_at ON row (at);
            CREATE TABLE counter (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
            PRAGMA user_version = 1;
        """)
        for seq in range(4, 10):
            old.execute("INSERT INTO row VALUES (?, ?, ?, ?, 99)", (seq, TOPIC, b'{"seq":%d}' % seq, NOW))
        totals = {"put": 9, "acknowledged": 2, "dropped_age": 1, "seq": 9, "bytes": 594}
        old.executemany("INSERT INTO counter VALUES (?, ?)", totals.items())
    old.close()
    spool = spool_at(path)
    assert [row.seq for row in spool.after(0, 100)] == list(range(4, 10))
    assert spool.counters is not None
    assert (spool.counters.put, spool.counters.acknowledged, spool.counters.dropped) == (9, 2, {"age": 1})
    assert spool.put(TOPIC, {}, NOW) > 9
    spool.close()
