"""Rows that the broker has go with the next change of the file, as each transaction costs flash a few pages."""

from dataclasses import replace
from pathlib import Path

from tidegate.telemetry.spool import Spool
from tidegate.telemetry.spool.bounds import MOST_DELETED_LATER


def seqs_on_disk(spool: Spool) -> list[int]:
    assert spool._disk.database is not None
    return [seq for (seq,) in spool._disk.database.execute("SELECT seq FROM row ORDER BY seq")]


def test_what_the_broker_has_is_deleted_with_the_next_row(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", 1 << 20, 3600.0)
    first, second = (spool.put("t", {"n": n}, 1e9) for n in range(2))
    assert spool.acknowledge(first) == ()
    counters = spool.counters
    assert counters is not None
    assert (counters.acknowledged, counters.waiting) == (1, 1)
    assert [row.seq for row in spool.after(0, 1)] == [second], "one is not given again, and makes room for another"
    assert seqs_on_disk(spool) == [first, second], "a transaction of its own would cost flash as much as a row"
    third = spool.put("t", {"n": 2}, 1e9)
    assert seqs_on_disk(spool) == [second, third]
    assert spool.counters == replace(counters, put=3, waiting=2, waiting_bytes=2 * counters.waiting_bytes)


def test_only_so_many_are_deleted_later(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", 1 << 20, 3600.0)
    seqs = [spool.put("t", {"n": n}, 1e9) for n in range(MOST_DELETED_LATER + 1)]
    assert spool.acknowledge(*seqs[:-1]) == ()
    assert seqs_on_disk(spool) == seqs
    assert spool.acknowledge(seqs[-1]) == ()
    assert seqs_on_disk(spool) == []
    assert spool.counters is not None
    assert (spool.counters.acknowledged, spool.counters.waiting, spool.counters.waiting_bytes) == (len(seqs), 0, 0)


def test_closed_in_order_it_keeps_nothing_that_the_broker_has(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", 1 << 20, 3600.0)
    assert spool.acknowledge(spool.put("t", {}, 1e9)) == ()
    spool.close()
    again = Spool(tmp_path / "spool.db", 1 << 20, 3600.0)
    assert again.after(0, 9) == ()
    assert again.counters is not None
    assert (again.counters.acknowledged, again.counters.waiting) == (1, 0)


def test_rows_that_are_lost_with_the_file_are_not_counted_as_gone_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", 1 << 20, 3600.0)
    assert spool.acknowledge(spool.put("t", {}, 1e9)) == ()
    spool._disk.close()
    for file in tmp_path.glob("spool.db*"):
        if not file.name.endswith(".seq"):
            file.unlink()
    assert spool.after(0, 9) == ()
    assert spool.counters is not None
    assert (spool.counters.waiting, spool.counters.waiting_bytes) == (0, 0)
