"""Rows reach the spool in their order without anybody waiting for the disk, and every lost one is counted."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tidegate.supervisor.events import spool_writer
from tidegate.supervisor.events.spool_writer import SpoolWriter
from tidegate.telemetry.spool import Spool


class SlowSpool(Spool):
    """A spool whose disk does not answer until it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, 64 << 20, 1e9)
        self.answers = threading.Event()

    def put(self, topic: str, document: Mapping[str, object], now: float) -> int:
        self.answers.wait()
        if topic == "broken":
            raise ValueError("no JSON")
        return super().put(topic, document, now)


@pytest.fixture
def spool(tmp_path: Path) -> SlowSpool:
    return SlowSpool(tmp_path / "spool.db")


def test_putting_does_not_wait_and_nothing_is_lost_or_out_of_order(spool: SlowSpool) -> None:
    woken: list[int] = []
    writer = SpoolWriter(spool, lambda: woken.append(1))
    started = time.monotonic()
    for number in range(200):
        writer.put("t", {"number": number}, time.time())
    assert time.monotonic() - started < 0.5
    assert not writer.flush(0.05)
    spool.answers.set()
    assert writer.flush(60)
    rows = spool.after(0, 1000)
    assert [row.seq for row in rows] == list(range(1, 201))
    assert b'"number":199' in rows[-1].payload
    assert woken
    assert writer.take_lost() == 0
    counters = spool.counters
    assert counters is not None
    assert counters.put == counters.acknowledged + sum(counters.dropped.values()) + counters.waiting == 200
    writer.close(1)


def test_what_a_dead_disk_costs_is_counted_and_the_newest_is_kept(
    spool: SlowSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_writer, "MOST_WAITING", 64)
    writer = SpoolWriter(spool, lambda: None)
    writer.put("t", {"number": -1}, time.time())
    while writer._waiting:
        time.sleep(0.001)
    for number in range(64 + 40):
        writer.put("t", {"number": number}, time.time())
    assert writer.take_lost() == 40
    assert writer.take_lost() == 0
    spool.answers.set()
    assert writer.flush(60)
    assert [row.seq for row in spool.after(0, 5000)] == list(range(1, 64 + 2))
    writer.close(1)


def test_a_document_that_cannot_be_stored_costs_no_other(spool: SlowSpool) -> None:
    spool.answers.set()
    writer = SpoolWriter(spool, lambda: None)
    writer.put("broken", {}, 0.0)
    writer.put("t", {}, time.time())
    assert writer.flush(10)
    assert len(spool.after(0, 10)) == 1
    writer.close(1)


def test_closing_writes_what_waits_and_gives_a_dead_disk_up_in_time(spool: SlowSpool) -> None:
    writer = SpoolWriter(spool, lambda: None)
    writer.put("t", {}, time.time())
    started = time.monotonic()
    writer.close(0.2)
    assert time.monotonic() - started < 2
    spool.answers.set()
