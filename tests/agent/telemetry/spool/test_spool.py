"""The spool: sequence numbers, bounds, accounts that balance, and bad disks."""

import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tidegate.telemetry.spool import Spool
from tidegate.telemetry.spool.row import ROW_OVERHEAD_BYTES

NOW = 1_750_000_000.0


def spool_at(path: Path, max_bytes: int = 1_000_000, max_age_s: float = 3600.0) -> Spool:
    return Spool(path, max_bytes, max_age_s)


def balanced(spool: Spool) -> bool:
    counters = spool.counters
    assert counters is not None
    return counters.put == counters.acknowledged + sum(counters.dropped.values()) + counters.waiting


def test_row_carries_its_seq(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "spool.db")
    seq = spool.put("a/telemetry", {"watts": 3.5}, NOW)
    assert seq == 1
    (row,) = spool.after(0, 10)
    assert (row.seq, row.topic, json.loads(row.payload)) == (1, "a/telemetry", {"watts": 3.5, "seq": 1})


def test_after_is_in_order_bounded_and_leaves_topics_out(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "spool.db")
    for number in range(6):
        spool.put("even" if number % 2 == 0 else "odd", {}, NOW)
    assert [row.seq for row in spool.after(1, 3)] == [2, 3, 4]
    assert [row.seq for row in spool.after(0, 10, {"odd"})] == [1, 3, 5]


def test_seq_continues_after_restart_of_an_empty_spool(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = spool_at(path)
    last = [spool.put("t", {}, NOW) for _ in range(3)][-1]
    spool.acknowledge(1, 2, 3)
    spool.close()
    again = spool_at(path)
    assert again.put("t", {}, NOW) == (last or 0) + 1
    assert balanced(again)


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b""])
def test_seq_continues_after_loss_of_the_database(
    tmp_path: Path, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.telemetry.spool.sequence.RESERVED_SEQS", 10)
    path = tmp_path / "spool.db"
    spool = spool_at(path)
    before = [spool.put("t", {}, NOW) for _ in range(35)]
    spool.close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(damage)
    after = spool_at(path).put("t", {}, NOW)
    assert after is not None
    assert after > max(seq for seq in before if seq is not None)


def test_damaged_file_is_moved_aside_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(b"this is not a database, and long enough to be read as a header" * 50)
    spool = spool_at(path)
    (incident,) = spool.take_incidents()
    assert "not a database" in incident
    assert spool.problem is None, "it works again"
    assert path.with_name("spool.db.damaged").exists()
    assert spool.put("t", {}, NOW) is not None
    assert balanced(spool)


def test_damage_met_while_running_is_survived(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = spool_at(path)
    for _ in range(200):
        spool.put("t", {"text": "x" * 500}, NOW)
    spool.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40_000)
    spool.put("t", {}, NOW)
    (incident,) = spool.take_incidents()
    assert "moved aside" in incident
    assert spool.put("t", {}, NOW) is not None
    assert balanced(spool)


def test_file_of_another_version_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE kept (x)")
        other.execute("PRAGMA user_version = 99")
    other.close()
    spool = spool_at(path)
    (incident,) = spool.take_incidents()
    assert "99" in incident
    assert spool.put("t", {}, NOW) is not None


def test_oldest_go_first_when_full(tmp_path: Path) -> None:
    size = len("t") + len(json.dumps({"n": 1, "seq": 1}, separators=(",", ":"))) + ROW_OVERHEAD_BYTES
    spool = spool_at(tmp_path / "spool.db", max_bytes=3 * size)
    for number in range(5):
        spool.put("t", {"n": number}, NOW)
    assert [row.seq for row in spool.after(0, 10)] == [3, 4, 5]
    assert spool.counters is not None
    assert spool.counters.dropped == {"full": 2}
    assert balanced(spool)


def test_row_larger_than_the_spool_costs_no_other_row(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "spool.db", max_bytes=1000)
    spool.put("t", {}, NOW)
    assert spool.put("t", {"text": "x" * 2000}, NOW) == 2
    assert [row.seq for row in spool.after(0, 10)] == [1]
    assert balanced(spool)


def test_old_rows_expire(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "spool.db", max_age_s=60.0)
    spool.put("t", {}, NOW)
    spool.put("t", {}, NOW + 50)
    spool.expire(NOW + 70)
    assert [row.seq for row in spool.after(0, 10)] == [2]
    assert spool.counters is not None
    assert spool.counters.dropped == {"age": 1}


def test_acknowledging_twice_counts_once(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "spool.db")
    spool.put("t", {}, NOW)
    assert not spool.acknowledge(1)
    assert not spool.acknowledge(1)
    assert spool.counters is not None
    assert spool.counters.acknowledged == 1


@pytest.mark.parametrize("bad", [float("nan"), object()])
def test_what_json_cannot_hold_is_the_callers_mistake(tmp_path: Path, bad: object) -> None:
    spool = spool_at(tmp_path / "spool.db")
    with pytest.raises((TypeError, ValueError)):
        spool.put("t", {"x": bad}, NOW)
    assert spool.put("t", {}, NOW) == 1


def test_full_disk_is_reported_counted_and_recovered_from(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "spool.db")
    spool.put("t", {}, NOW)
    assert spool._disk.database is not None
    # SQLite's own page limit raises the very error of a full disk, SQLITE_FULL.
    spool._disk.database.execute("PRAGMA max_page_count = 1")
    seqs = [spool.put("t", {"text": "x" * 900}, NOW) for _ in range(20)]
    assert spool.problem is not None
    assert "full" in spool.problem
    assert spool.counters is not None
    assert spool.counters.in_memory > 0
    assert balanced(spool)
    assert [row.seq for row in spool.after(0, 100)] == [1, *seqs], "rows in memory are sent like others"
    assert not spool.acknowledge(1, seqs[-1])
    assert balanced(spool)
    spool._disk.database.execute("PRAGMA max_page_count = 1000000")
    last = spool.put("t", {}, NOW)
    assert spool.problem is None
    spool.close()
    again = spool_at(tmp_path / "spool.db")
    assert [row.seq for row in again.after(0, 100)] == [*seqs[:-1], last]
    assert again.put("t", {}, NOW) > last
    assert balanced(again)


def test_numbers_given_while_the_disk_was_full_are_never_given_again(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = spool_at(path)
    spool.put("t", {}, NOW)
    assert spool._disk.database is not None
    spool._disk.database.execute("PRAGMA max_page_count = 1")
    given = [spool.put("t", {"text": "x" * 900}, NOW) for _ in range(2000)]
    # A kill: nothing more is written.
    spool._disk.database.close()
    after = spool_at(path).put("t", {}, NOW)
    assert after > max(given)


def test_unusable_directory_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = spool_at(tmp_path / "file" / "spool.db")
    seq = spool.put("t", {}, NOW)
    assert [row.seq for row in spool.after(0, 1)] == [seq]
    assert spool.problem is not None
    assert spool.counters is not None
    assert (spool.counters.in_memory, spool.counters.waiting) == (1, 1)
    (tmp_path / "file").unlink()
    spool._disk.retry_s = spool._disk.retry_at = 0.0
    spool.put("t", {}, NOW)
    assert spool.problem is None
    assert [row.seq for row in spool.after(0, 9)] == [seq, seq + 1]
    assert spool.counters.in_memory == 0
    assert balanced(spool)


def test_threads_get_distinct_seqs(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "spool.db")
    seqs: list[int | None] = []

    def put_many() -> None:
        seqs.extend(spool.put("t", {}, NOW) for _ in range(50))

    threads = [threading.Thread(target=put_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(seq for seq in seqs if seq is not None) == list(range(1, 201))
    assert balanced(spool)


def test_every_seq_returned_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    code = (
        "import sys; from pathlib import Path; from tidegate.telemetry.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), 10**7, 10**6)\n"
        "while True: print(spool.put('t', {}, 1.0), flush=True)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(100)]
    child.kill()
    told += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.stdout.close()
    child.wait()
    spool = spool_at(path, max_bytes=10**7, max_age_s=10**6)
    stored = [row.seq for row in spool.after(0, 10**6)]
    assert stored[: len(told)] == told
    assert spool.put("t", {}, 1.0) == stored[-1] + 1
    assert balanced(spool)


class SpoolAccounts(RuleBasedStateMachine):
    """Against a plain list: the accounts balance and the order holds through puts, acks, drops and restarts."""

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "spool.db"
        self.spool = Spool(self.path, 1500, 100.0)
        self.now = 1000.0
        self.last = 0

    @rule(size=st.integers(0, 1700))
    def put(self, size: int) -> None:
        seq = self.spool.put("t", {"text": "x" * size}, self.now)
        assert seq is not None
        assert seq > self.last
        self.last = seq

    @rule(back=st.integers(0, 12))
    def acknowledge(self, back: int) -> None:
        waiting = {row.seq for row in self.spool.after(0, 1000)}
        seq = self.last - back
        before = self.spool.counters
        assert not self.spool.acknowledge(seq)
        after = self.spool.counters
        assert before is not None
        assert after is not None
        assert after.acknowledged - before.acknowledged == (seq in waiting)

    @rule(back=st.integers(0, 12))
    def drop(self, back: int) -> None:
        self.spool.drop(self.last - back, "refused")

    @rule(seconds=st.floats(-50.0, 150.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.spool.expire(self.now)

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.spool = Spool(self.path, 1500, 100.0)

    @precondition(lambda self: hasattr(self, "spool"))
    @invariant()
    def accounts_balance(self) -> None:
        rows = self.spool.after(0, 1000)
        counters = self.spool.counters
        assert counters is not None
        assert counters.put == counters.acknowledged + sum(counters.dropped.values()) + counters.waiting
        assert counters.waiting == len(rows)
        assert counters.waiting_bytes == sum(len(r.topic) + len(r.payload) + ROW_OVERHEAD_BYTES for r in rows)
        assert counters.waiting_bytes <= 1500
        assert [row.seq for row in rows] == sorted({row.seq for row in rows})

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            self.directory.cleanup()


TestSpoolAccounts = SpoolAccounts.TestCase
TestSpoolAccounts.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
