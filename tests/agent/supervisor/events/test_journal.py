"""Events reach everybody from any thread, cut to a bound, folded, and counted when the disk does not keep up."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate.supervisor.events import spool_writer
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.events.folding import AT_ONCE
from tidegate.supervisor.events.journal import TEXT_LIMIT, Journal
from tidegate.telemetry.spool import Spool
from tidegate.telemetry.topics import DeviceTopics


def run(tmp_path: Path, scene: Callable[[Journal, Spool, list[Event]], None]) -> None:
    async def go() -> None:
        spool, seen = Spool(tmp_path / "spool.db", 64 << 20, 1e9), list[Event]()
        journal = Journal(DeviceTopics("gate-7"), spool, lambda: None, [seen.append])
        scene(journal, spool, seen)
        await asyncio.sleep(0.05)
        await asyncio.to_thread(journal.close, 10.0)
        spool.close()

    asyncio.run(go())


def stored(spool: Spool) -> list[dict[str, object]]:
    return [json.loads(row.payload) for row in spool.after(0, 5000)]


def test_an_event_is_seen_at_once_and_stored_soon(tmp_path: Path) -> None:
    def scene(journal: Journal, spool: Spool, seen: list[Event]) -> None:
        journal.emit(Event(EventKind.SWITCH, "x" * (2 * TEXT_LIMIT), {"to": "full"}))
        assert [len(event.text) for event in seen] == [TEXT_LIMIT]
        assert len(journal.recent) == 1
        assert journal.flush(10)
        (row,) = stored(spool)
        assert (row["kind"], row["to"], len(str(row["text"]))) == ("switch", "full", TEXT_LIMIT)

    run(tmp_path, scene)


def test_observers_hear_on_the_loop_whatever_thread_speaks(tmp_path: Path) -> None:
    threads = []

    def scene(journal: Journal, _spool: Spool, _seen: list[Event]) -> None:
        journal._observers = [lambda _: threads.append(threading.get_ident())]
        thread = threading.Thread(target=journal.emit, args=(Event(EventKind.FAULT, "x"),))
        thread.start()
        thread.join()
        assert threads == []

    run(tmp_path, scene)
    assert threads == [threading.get_ident()]


def test_what_repeats_is_stored_a_few_times_and_then_counted(tmp_path: Path) -> None:
    def scene(journal: Journal, spool: Spool, seen: list[Event]) -> None:
        for number in range(1000):
            journal.emit(Event(EventKind.FAULT, f"refused {number}", source="input/x"))
        journal.tell_folded(everything=True)
        assert len(seen) == AT_ONCE + 1
        assert journal.flush(10)
        rows = stored(spool)
        assert len(rows) == AT_ONCE + 1
        assert rows[-1]["count"] == 1000 - AT_ONCE

    run(tmp_path, scene)


def test_rows_that_a_dead_disk_cost_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    real = Spool.put

    def put(spool: Spool, topic: str, document: dict[str, object], now: float) -> int | None:
        answers.wait()
        return real(spool, topic, document, now)

    monkeypatch.setattr(Spool, "put", put)
    monkeypatch.setattr(spool_writer, "MOST_WAITING", 64)

    def scene(journal: Journal, spool: Spool, _seen: list[Event]) -> None:
        journal.telemetry({"number": -1}, time.time())
        while journal._writer._waiting:
            time.sleep(0.001)
        started = time.monotonic()
        for number in range(64 + 100):
            journal.telemetry({"number": number}, time.time())
        assert time.monotonic() - started < 1
        journal.tell_folded()
        answers.set()
        assert journal.flush(60)
        (told,) = [row for row in stored(spool) if row.get("kind") == "fault"]
        assert told["lost"] == 100

    run(tmp_path, scene)
