"""The outbox: the window, each row once, and what refusals lead to."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from tidegate.telemetry.link.message import Message
from tidegate.telemetry.link.outbox import MAX_REFUSALS, WINDOW, Outbox
from tidegate.telemetry.spool import Spool
from tidegate.telemetry.spool.bounds import MOST_DELETED_LATER
from tidegate.telemetry.spool.thinner import _UNCERTAIN_ROWS

LATER = 10_000.0


def puback(code: int) -> ReasonCode:
    return ReasonCode(PacketTypes.PUBACK, identifier=code)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool.db", 10**7, 10**6)


class Wire:
    """Hands out packet ids and remembers what went out."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.mid = 0
        self.sent: list[tuple[int, Message]] = []

    def pump(self, now: float = 0.0) -> list[tuple[int, Message]]:
        fresh = []
        while (message := self.outbox.next(now)) is not None:
            self.mid += 1
            self.outbox.sent(self.mid, message)
            fresh.append((self.mid, message))
        self.sent += fresh
        return fresh

    def answer(self, messages: list[tuple[int, Message]], code: int = 0, now: float = 0.0) -> None:
        for mid, _ in messages:
            self.outbox.answered(mid, puback(code), now)
        self.outbox.settle()


def connected(spool: Spool, receive_maximum: int = 65_535, max_packet_bytes: int | None = None) -> Wire:
    outbox = Outbox(spool)
    outbox.connected(receive_maximum, max_packet_bytes, session_present=True)
    return Wire(outbox)


def put(spool: Spool, count: int, topic: str = "t") -> None:
    for _ in range(count):
        spool.put(topic, {}, 0.0)


def seqs(messages: list[tuple[int, Message]]) -> list[int | None]:
    return [message.seq for _, message in messages]


@pytest.mark.parametrize(("receive_maximum", "window"), [(1, 1), (5, 5), (65_535, WINDOW)])
def test_window_respects_receive_maximum(spool: Spool, receive_maximum: int, window: int) -> None:
    put(spool, 100)
    wire = connected(spool, receive_maximum)
    wire.outbox.retain("s", b"{}")
    first = wire.pump()
    assert len(first) == window
    wire.answer(first[:1])
    assert len(wire.pump()) == 1


def test_rows_go_only_when_acknowledged(spool: Spool) -> None:
    put(spool, 3)
    wire = connected(spool)
    messages = wire.pump()
    assert len(spool.after(0, 10)) == 3
    wire.answer(messages[:2])
    assert [row.seq for row in spool.after(0, 10)] == [3]


def test_session_kept_means_paho_resends_and_the_outbox_does_not(spool: Spool) -> None:
    put(spool, 3)
    wire = connected(spool)
    messages = wire.pump()
    wire.outbox.lost(blamed=False)
    assert wire.outbox.connected(65_535, None, session_present=True)
    assert wire.pump() == []
    wire.answer(messages)
    assert spool.after(0, 10) == ()


@pytest.mark.parametrize(
    ("receive_maximum", "max_packet_bytes", "session_present"), [(65_535, None, False), (2, None, True)]
)
def test_what_paho_must_not_resend_goes_again(
    spool: Spool, receive_maximum: int, max_packet_bytes: int | None, session_present: bool
) -> None:
    put(spool, 3)
    wire = connected(spool)
    wire.pump()
    wire.outbox.lost(blamed=False)
    assert not wire.outbox.connected(receive_maximum, max_packet_bytes, session_present)
    again = wire.pump()
    assert seqs(again) == [1, 2, 3][:receive_maximum]


def test_too_large_for_the_broker_is_dropped_and_counted(spool: Spool) -> None:
    spool.put("t", {"text": "x" * 500}, 0.0)
    put(spool, 1)
    wire = connected(spool, max_packet_bytes=200)
    assert seqs(wire.pump()) == [2]
    assert spool.counters is not None
    assert spool.counters.dropped == {"too_large": 1}


@pytest.mark.parametrize("code", [0x90, 0x99])
def test_hopeless_refusal_drops_at_once(spool: Spool, code: int) -> None:
    put(spool, 2)
    wire = connected(spool)
    messages = wire.pump()
    wire.answer(messages[:1], code)
    wire.answer(messages[1:])
    assert spool.counters is not None
    assert spool.counters.dropped == {"refused": 1}
    assert spool.counters.acknowledged == 1


@pytest.mark.parametrize("code", [0x80, 0x83])
def test_refusal_for_unknown_reasons_is_retried_a_few_times(spool: Spool, code: int) -> None:
    put(spool, 1)
    wire = connected(spool)
    for attempt in range(MAX_REFUSALS):
        now = attempt * LATER
        wire.answer(wire.pump(now), code, now)
    assert len(wire.sent) == MAX_REFUSALS
    assert wire.pump(LATER * LATER) == []
    assert spool.counters is not None
    assert spool.counters.dropped == {"refused": 1}


@pytest.mark.parametrize("code", [0x87, 0x97])
def test_refusal_that_is_the_brokers_own_keeps_the_row(spool: Spool, code: int) -> None:
    put(spool, 1)
    wire = connected(spool)
    for attempt in range(4 * MAX_REFUSALS):
        now = attempt * LATER
        wire.answer(wire.pump(now), code, now)
        assert wire.pump(now) == [], "a refused topic rests"
    wire.answer(wire.pump(LATER * LATER))
    assert spool.counters is not None
    assert (spool.counters.acknowledged, dict(spool.counters.dropped)) == (1, {})


def test_a_refused_topic_does_not_hold_up_another(spool: Spool) -> None:
    put(spool, 1, "forbidden")
    wire = connected(spool)
    wire.answer(wire.pump(), 0x87)
    put(spool, 40, "forbidden")
    put(spool, 3, "allowed")
    wire.outbox.wake()
    free = wire.pump()
    assert [message.topic for _, message in free] == ["allowed"] * 3
    wire.answer(free)
    wire.answer(wire.pump(LATER), now=LATER)
    wire.answer(wire.pump(LATER), now=LATER)
    wire.answer(wire.pump(LATER), now=LATER)
    assert spool.after(0, 10) == ()


def test_one_blamed_message_is_given_up(spool: Spool) -> None:
    put(spool, 5)
    wire = connected(spool)
    assert len(wire.pump()) == 5
    # The broker ends the connection whenever it sees row 3.
    wire.outbox.lost(blamed=True)
    assert not wire.outbox.connected(65_535, None, session_present=True)
    while 3 not in seqs(batch := wire.pump()):
        assert len(batch) == 1, "one at a time, so that the next end names the row"
        wire.answer(batch)
    wire.outbox.lost(blamed=True)
    assert not wire.outbox.connected(65_535, None, session_present=True)
    wire.answer(wire.pump())
    assert [row.seq for row in spool.after(0, 10)] == []
    assert spool.counters is not None
    assert spool.counters.dropped == {"refused": 1}
    assert spool.counters.acknowledged == 4


def test_a_blamed_retained_document_does_not_hold_up_rows(spool: Spool) -> None:
    wire = connected(spool)
    wire.outbox.retain("reported", b"poison")
    wire.pump()
    wire.outbox.lost(blamed=True)
    put(spool, 1)
    wire.outbox.connected(65_535, None, session_present=True)
    assert seqs(wire.pump()) == [1]
    wire.outbox.retain("reported", b"better")
    assert [message.payload for _, message in wire.pump()] == [b"better"]


def test_latest_retained_document_wins_and_comes_again(spool: Spool) -> None:
    wire = connected(spool)
    wire.outbox.retain("reported", b"1")
    wire.outbox.retain("reported", b"2")
    first = wire.pump()
    assert [message.payload for _, message in first] == [b"2"]
    wire.outbox.retain("reported", b"3")
    assert wire.pump() == [], "never two of one topic in flight: they could arrive in either order"
    wire.answer(first)
    assert [message.payload for _, message in wire.pump()] == [b"3"]
    wire.outbox.connected(65_535, None, session_present=False)
    assert [message.payload for _, message in wire.pump()] == [b"3"]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_row_is_handed_out_while_it_may_still_arrive(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool.db", 10**7, 10**6)
        run_against_a_moody_broker(spool, data)
        spool.close()


def run_against_a_moody_broker(spool: Spool, data: st.DataObject) -> None:
    wire = connected(spool, data.draw(st.integers(1, 20)))
    in_flight: dict[int, Message] = {}
    arrived: list[int] = []
    now = 0.0
    for _ in range(data.draw(st.integers(1, 30))):
        match data.draw(st.sampled_from(["put", "ack", "refuse", "drop connection", "wait"])):
            case "put":
                put(spool, data.draw(st.integers(1, 5)), data.draw(st.sampled_from("ab")))
                wire.outbox.wake()
            case "ack" | "refuse" as answer if in_flight:
                mid = data.draw(st.sampled_from(sorted(in_flight)))
                message = in_flight.pop(mid)
                code = 0 if answer == "ack" else data.draw(st.sampled_from([0x80, 0x87, 0x97]))
                wire.answer([(mid, message)], code, now)
                if answer == "ack" and message.seq is not None:
                    arrived.append(message.seq)
            case "drop connection":
                wire.outbox.lost(blamed=False)
                if not wire.outbox.connected(65_535, None, data.draw(st.booleans())):
                    in_flight.clear()
            case "wait":
                now += 1000.0
        for mid, message in wire.pump(now):
            assert message.seq not in {other.seq for other in in_flight.values()}
            assert message.seq not in arrived
            assert json.loads(message.payload)["seq"] == message.seq
            in_flight[mid] = message
    wire.answer(list(in_flight.items()), now=now)
    for _ in range(200):
        if not spool.after(0, 1):
            return
        now += 1000.0
        wire.answer(wire.pump(now), now=now)
    pytest.fail(f"never sent: {spool.after(0, 1000)}")


def test_events_go_before_telemetry_that_waits_longer(spool: Spool) -> None:
    put(spool, 40, "tidegate/cam-1/telemetry")
    put(spool, 3, "tidegate/cam-1/event")
    wire = connected(spool)
    assert seqs(wire.pump())[:5] == [41, 42, 43, 1, 2]
    put(spool, 1, "tidegate/cam-1/event")
    wire.outbox.wake()
    wire.answer(wire.sent[:2])
    assert seqs(wire.pump())[0] == 44


def test_a_row_under_way_that_a_rewind_fetched_again_is_not_sent_again(spool: Spool) -> None:
    put(spool, 1, "a")
    put(spool, 2, "b")
    wire = connected(spool, 2)
    (first, second) = wire.pump()
    wire.answer([first], 0x87)  # not authorized: "a" pauses, and its row comes again
    assert seqs(wire.pump()) == [3]
    wire.answer([second], 0x00, LATER)
    assert seqs(wire.pump(LATER)) == [1], "the rewind has fetched row 3 as well, which is under way"
    wire.answer(wire.sent[2:3], 0x00, LATER)
    assert wire.pump(LATER) == []


def test_windows_that_the_disk_does_not_let_go_of_stay_as_few_as_the_thinner_counts_on(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, 200, "d/telemetry")
    wire = connected(spool)
    with monkeypatch.context() as full_disk:
        full_disk.setattr(spool, "acknowledge", lambda *seqs: seqs)
        while fresh := wire.pump():
            wire.answer(fresh)
        assert len(wire.sent) == 2 * WINDOW == _UNCERTAIN_ROWS - MOST_DELETED_LATER
        put(spool, 3, "d/event")
        wire.outbox.wake()
        events = wire.pump()
        assert [message.topic for _, message in events] == 3 * ["d/event"], "which are never merged"
    wire.answer(events)
    while fresh := wire.pump():
        wire.answer(fresh)
    assert len(wire.sent) == 203, "each once"
    assert spool.counters is not None
    assert spool.counters.waiting == 0
