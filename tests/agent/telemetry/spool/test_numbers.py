"""A number has one content for ever, a window is told once: past kills, full disks and failed commits."""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from tidegate.telemetry.link.message import Message
from tidegate.telemetry.link.outbox import Outbox
from tidegate.telemetry.payloads.window import Window, parse_window
from tidegate.telemetry.spool import Spool, sequence

TOPIC, FORMER_TOPIC, EVENT = "tidegate/cam-1/telemetry", "tidegate/cam-0/telemetry", "tidegate/cam-1/event"
HOUR, NOW = 3600.0, 20_000 * 86400.0
DONE = ReasonCode(PacketTypes.PUBACK, identifier=0)
NOT_AUTHORIZED = ReasonCode(PacketTypes.PUBACK, identifier=0x87)
IN_MEMORY = Path("/dev/shm")
FAULTS = {"full": sqlite3.SQLITE_FULL, "io": sqlite3.SQLITE_IOERR, "io after commit": sqlite3.SQLITE_IOERR}


class Storage:
    """A directory whose disk refuses, and of which a kill leaves what it held at one statement of SQLite."""

    def __init__(self) -> None:
        self._made = tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None)
        self.directory = Path(self._made.name) / "0"
        self.directory.mkdir()
        self.fault: str | None = None
        self.healthy_statements = 0
        self.number_file_refuses = False
        self.kill_at: int | None = None
        self.left: Path | None = None
        self._lives = 0
        self._real_write = sequence.write_number
        storage = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                storage.step(sql)
                cursor = super().execute(sql, *arguments)
                storage.after(sql)
                return cursor

        def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
            storage.step("connect")
            return real_connect(*arguments, factory=Connection, **options)

        real_connect = sqlite3.connect
        self._patches = (
            mock.patch.object(sqlite3, "connect", connect),
            mock.patch.object(sequence, "write_number", self._write_number),
        )
        for patch in self._patches:
            patch.start()

    def step(self, sql: str) -> None:
        self._maybe_killed()
        if self.fault in {None, "io after commit"} or sql in {"ROLLBACK", "BEGIN IMMEDIATE"}:
            return
        if self.healthy_statements > 0:
            self.healthy_statements -= 1
        elif self.fault == "io" or sql.startswith(("INSERT", "DELETE", "COMMIT")):
            self._refuse()

    def after(self, sql: str) -> None:
        if self.fault == "io after commit" and sql == "COMMIT":
            self.healthy_statements -= 1
            if self.healthy_statements < 0:
                self._refuse()

    def _maybe_killed(self) -> None:
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at == 0:
                self.leave()

    def leave(self) -> None:
        """What a kill at this moment leaves."""
        if self.left is None:
            self._lives += 1
            self.left = self.directory.with_name(str(self._lives))
            shutil.copytree(self.directory, self.left)

    def next_life(self) -> None:
        self.leave()
        assert self.left is not None
        shutil.rmtree(self.directory)
        self.directory, self.left, self.kill_at = self.left, None, None

    def close(self) -> None:
        for patch in self._patches:
            patch.stop()
        self._made.cleanup()

    def _refuse(self) -> None:
        error = sqlite3.OperationalError(str(self.fault))
        error.sqlite_errorcode = FAULTS[str(self.fault)]
        raise error

    def _write_number(self, path: Path, number: int) -> None:
        self._maybe_killed()
        if self.number_file_refuses:
            raise OSError(5, "Input/output error")
        self._real_write(path, number)


class KilledDevice(RuleBasedStateMachine):
    """A spool and its outbox over many lives, and what a broker sees of them.

    Each window has a bit of its own in `requests`, so that the sum in a merged one tells which are in it.
    """

    @initialize()
    def begin(self) -> None:
        self.storage = Storage()
        self.now, self.windows, self.events = NOW, 0, 0
        self.contents: dict[int, bytes] = {}
        self.given: set[int] = set()
        self.stored_windows = 0
        self.stored_events: set[int] = set()
        self.renamed = False
        self.start()

    def start(self) -> None:
        self.spool = Spool(self.storage.directory / "spool.db", 10**7, 1e12)
        self.spool._disk.retry_s = self.spool._disk.retry_at = 0.0
        self.outbox = Outbox(self.spool)
        self.outbox.connected(65_535, None, session_present=False)
        self.in_flight: list[tuple[int, Message]] = []
        self.mid = 0

    def alive(self) -> bool:
        """Begins the next life if this one has ended: what was answered after its end is nobody's."""
        if self.storage.left is None:
            return True
        with mock.patch.object(self.storage, "fault", None):
            self.spool._disk.close()
        self.storage.next_life()
        self.start()
        return False

    def put_one(self, topic: str, document: dict[str, object]) -> int | None:
        seq = self.spool.put(topic, document, self.now)
        if not self.alive():
            return None
        assert seq not in self.given
        self.given.add(seq)
        return seq if self.spool.problem is None else None

    @rule(count=st.sampled_from((1, 1, 4, 40)), every_s=st.sampled_from((1.0, 60.0)))
    def put(self, count: int, every_s: float) -> None:
        for _ in range(count):
            self.now += every_s
            bit = 1 << self.windows
            self.windows += 1
            document = Window(self.now, every_s, "full", 7, "serving", 0, 0, requests=bit).to_document()
            if self.put_one(FORMER_TOPIC if self.renamed else TOPIC, document) is not None:
                self.stored_windows |= bit

    @rule()
    def put_event(self) -> None:
        self.events += 1
        if self.put_one(EVENT, {"text": self.events}) is not None:
            self.stored_events.add(self.events)

    @rule(hours=st.sampled_from((1, 2, 30)))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR
        self.spool.thin(self.now)
        self.alive()

    @rule(count=st.sampled_from((1, 3, 16)))
    def send(self, count: int) -> None:
        for _ in range(count):
            message = self.outbox.next(self.now)
            if not self.alive() or message is None:
                return
            self.mid += 1
            self.outbox.sent(self.mid, message)
            self.in_flight.append((self.mid, message))
            assert message.seq is not None
            assert self.contents.setdefault(message.seq, message.payload) == message.payload

    @rule(count=st.sampled_from((1, 3, 16)), refused=st.sampled_from((False, False, True)))
    def answer(self, count: int, refused: bool) -> None:
        answered, self.in_flight = self.in_flight[:count], self.in_flight[count:]
        for mid, message in answered:
            former = refused and message.topic == FORMER_TOPIC
            self.outbox.answered(mid, NOT_AUTHORIZED if former else DONE, self.now)
        self.outbox.settle_when_due()
        self.alive()

    @rule()
    def connection_breaks(self) -> None:
        self.outbox.lost(blamed=False)
        self.outbox.settle()
        if self.alive():
            self.in_flight.clear()
            self.outbox.connected(65_535, None, session_present=False)

    @rule(fault=st.sampled_from((*FAULTS, *(4 * [None]))), healthy=st.integers(0, 12), number_file=st.booleans())
    def disk(self, fault: str | None, healthy: int, number_file: bool) -> None:
        self.storage.fault, self.storage.healthy_statements = fault, healthy
        # A commit that failed by what SQLite says and did not, and no file to write that into: after a kill nobody
        # can know of which of the two numbers the row was.
        self.storage.number_file_refuses = number_file and fault in {"full", "io"}

    @rule(statement=st.integers(1, 60))
    def killed_at(self, statement: int) -> None:
        self.storage.kill_at = statement

    @rule()
    def killed(self) -> None:
        self.storage.leave()
        self.alive()

    @rule()
    def is_renamed(self) -> None:
        self.renamed = not self.renamed

    def teardown(self) -> None:
        if not hasattr(self, "storage"):
            return
        try:
            self.deliver_all()
            self.judge()
        finally:
            self.spool._disk.close()
            self.storage.close()

    def deliver_all(self) -> None:
        self.storage.fault, self.storage.kill_at, self.storage.number_file_refuses = None, None, False
        self.now += 1000.0
        self.put_event()
        self.connection_breaks()
        for _ in range(self.windows + self.events):
            self.now += 1000.0
            self.send(16)
            self.answer(16, refused=False)
            if not self.in_flight and self.spool.counters is not None and not self.spool.counters.waiting:
                return
        raise AssertionError(f"it does not come to an end: {self.spool.counters}")

    def judge(self) -> None:
        told, events = 0, set()
        for payload in self.contents.values():
            if (window := parse_window(payload)) is None:
                events.add(json.loads(payload)["text"])
                continue
            assert window.requests is not None
            assert not told & window.requests, "a window is in two rows"
            told |= window.requests
        assert self.stored_windows & ~told == 0, "a stored window was never sent"
        assert self.stored_events <= events
        counters = self.spool.counters
        assert counters is not None
        assert counters.put == counters.acknowledged + sum(counters.dropped.values()) + counters.merged


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[KilledDevice]:
    monkeypatch.setattr(sequence, "RESERVED_SEQS", 10)
    device = KilledDevice()
    device.begin()
    yield device
    device.teardown()


def drain(device: KilledDevice) -> None:
    while device.spool.after(0, 1):
        device.send(16)
        device.answer(16, refused=False)


def test_windows_sent_out_of_memory_before_those_on_the_disk_are_not_merged_in_the_next_life(
    device: KilledDevice,
) -> None:
    for _ in range(2):
        device.put(40, 60.0)
    device.disk("io", 0, number_file=False)
    device.put(4, 60.0)
    device.send(16)
    assert [message.seq for _, message in device.in_flight] == [81, 82, 83, 84]
    device.disk(None, 0, number_file=False)
    device.put(1, 60.0)
    device.killed()
    device.time_passes(30)
    assert device.spool.counters is not None
    assert device.spool.counters.merged > 0


def test_a_number_file_that_can_not_be_written_lets_no_number_come_again(device: KilledDevice) -> None:
    device.put(1, 1.0)
    device.disk("full", 0, number_file=False)
    device.put(4, 1.0)
    device.disk("full", 0, number_file=True)
    device.put(40, 1.0)
    drain(device)
    device.killed()
    device.disk(None, 0, number_file=False)
    device.put(40, 1.0)


def test_rows_of_which_only_the_first_came_to_the_disk_lose_no_number(device: KilledDevice) -> None:
    def put_large() -> None:
        device.events += 1
        device.put_one(EVENT, {"text": device.events, "more": "x" * 70_000})

    device.disk("full", 0, number_file=False)
    for _ in range(6):
        put_large()
    device.disk("full", 12, number_file=False)
    device.put_event()
    counters = device.spool.counters
    assert counters is not None
    assert 0 < counters.in_memory < 7
    drain(device)
    device.killed()
    device.disk(None, 0, number_file=False)
    device.put(10, 1.0)


def test_a_spool_that_opens_only_later_goes_on_above_its_last_number(device: KilledDevice) -> None:
    device.put(4, 1.0)
    drain(device)
    device.disk("io", 0, number_file=False)
    device.killed()
    device.disk(None, 0, number_file=False)
    device.put(1, 1.0)


def test_a_row_that_a_full_disk_kept_from_being_read_is_sent_once_it_can_be(device: KilledDevice) -> None:
    device.put_event()
    device.disk("full", 0, number_file=False)
    device.put_event()
    device.send(1)
    assert [message.seq for _, message in device.in_flight] == [2], "out of memory"
    device.disk(None, 0, number_file=False)


TestKilledDevice = KilledDevice.TestCase
TestKilledDevice.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
