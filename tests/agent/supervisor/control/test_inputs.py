"""Numbers from outside: each holds for its time, none of unknown age is taken, and bad ones are told of once."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.supervisor.control.inputs import LONGEST_BYTES, MOST, RATE_HZ, Inputs
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.payloads.input import InputMessage
from tidegate_drivers.reading import Freshness, Snapshot

UNIX = 1_800_000_000.0


class Device:
    """Inputs with clocks that stand still until they are set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.events: list[Event] = []
        self.heard = Heard()
        self.inputs = Inputs(60.0, self.events.append, lambda: self.now, lambda: UNIX + self.now, self.heard)

    def gets(
        self, payload: object, name: str = "people", *, kept: bool = False, expiry_s: float | None = None
    ) -> None:
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.inputs.receive(InputMessage(name, text, kept, expiry_s))

    def state(self, name: str = "input/people") -> tuple[float | None, Freshness]:
        snapshot = Snapshot(self.now, self.inputs.readings())
        return snapshot.number(name), snapshot.freshness(name)


@pytest.mark.parametrize(
    ("payload", "expiry_s", "holds_s"),
    [
        (3, None, 60.0),
        (3.0, 20.0, 20.0),
        ({"value": 3}, None, 60.0),
        ({"value": 3, "ttl_s": 5}, None, 5.0),
        ({"value": 3, "ttl_s": 500}, 20.0, 20.0),
        ({"value": 3, "at": UNIX + 60.0}, None, 20.0),  # it is 40 s old on arrival
        ({"value": 3, "at": UNIX + 130.0}, None, 60.0),  # a sender whose clock is 30 s ahead
    ],
)
def test_a_value_is_stale_when_its_time_is_over(payload: object, expiry_s: float | None, holds_s: float) -> None:
    device = Device()
    device.gets(payload, expiry_s=expiry_s)
    assert device.state() == (3.0, Freshness.FRESH)
    device.now += holds_s
    assert device.state() == (3.0, Freshness.FRESH)
    device.now += 0.1
    assert device.state() == (None, Freshness.STALE)
    assert device.events == []


@pytest.mark.parametrize(
    "payload",
    [
        b"three",
        b"NaN",
        b"1e999",
        b"Infinity",
        b"true",
        b'"3"',
        b"[3]",
        b"null",
        b"\xff",
        b"3" * 400,
        {"value": "3"},
        {"value": 3, "ttl": 5},
        {"value": 3, "ttl_s": 0},
        {"value": 3, "ttl_s": 1e9},
        {"value": 3, "at": UNIX + 100 + 61},
    ],
)
def test_a_bad_payload_is_told_of_once_and_leaves_the_last_value_to_its_time(payload: object) -> None:
    device = Device()
    device.gets(7)
    device.gets(payload)
    device.gets(payload)
    assert device.state() == (7.0, Freshness.FRESH)
    (event,) = device.events
    assert event.kind is EventKind.FAULT
    assert event.text.startswith("input people is refused: ")
    device.gets(8)
    device.gets(payload)
    assert len(device.events) == 2, "after a good one, the next bad one is news"


def test_what_the_broker_had_kept_must_say_how_old_it_is() -> None:
    device = Device()
    device.gets(3, kept=True)
    assert device.state() == (None, Freshness.UNAVAILABLE)
    assert "how old" in device.events[0].text
    device.gets({"value": 4, "at": UNIX}, kept=True)
    assert device.state() == (None, Freshness.STALE), "it is 100 s old, and 60 s are allowed"
    device.gets(5, kept=True, expiry_s=10.0)
    assert device.state() == (5.0, Freshness.FRESH)


def test_an_older_value_does_not_take_the_place_of_a_newer_one() -> None:
    device = Device()
    device.gets(9)
    device.gets({"value": 4, "at": UNIX + 90.0}, kept=True)
    assert device.state() == (9.0, Freshness.FRESH)


def test_an_empty_payload_takes_the_input_away() -> None:
    device = Device()
    device.gets(3)
    device.gets(b"")
    assert device.state() == (None, Freshness.UNAVAILABLE)


def test_names_are_bounded_in_number_and_kind() -> None:
    device = Device()
    for number in range(MOST + 5):
        device.gets(1, name=f"n{number}")
    device.gets(1, name="no space allowed")
    assert len(device.inputs.readings()) == MOST
    device.gets(2, name="n0")
    assert device.state("input/n0") == (2.0, Freshness.FRESH), "known ones go on"
    assert len(device.events) == 6


@given(st.binary(max_size=80), st.booleans(), st.none() | st.integers(0, 2**32 - 1))
def test_any_bytes_are_a_value_or_refused(payload: bytes, kept: bool, expiry_s: int | None) -> None:
    device = Device()
    device.gets(payload, kept=kept, expiry_s=expiry_s)
    for reading in device.inputs.readings().values():
        assert isinstance(reading.value, float)
        assert reading.max_age_s > 0 or expiry_s == 0


def test_of_a_name_that_is_flooded_the_latest_value_counts_and_few_are_read() -> None:
    device = Device()
    for number in range(1000):
        device.gets(number)
    assert device.inputs._readings["input/people"].value == RATE_HZ, "read as they came: the first second's worth"
    assert device.state() == (999.0, Freshness.FRESH)
    device.gets(b"")
    device.gets(b"")
    assert device.state() == (None, Freshness.UNAVAILABLE)


def test_good_and_bad_in_turn_at_any_rate_keep_the_good_one() -> None:
    device = Device()
    for _ in range(450):
        device.gets(1)
        device.gets(b"x")
        device.now += 1 / 450
    assert device.state() == (1.0, Freshness.FRESH)
    assert len(device.events) < 2 * RATE_HZ


def test_a_payload_that_no_number_needs_is_not_even_read() -> None:
    device = Device()
    device.gets(b"1" + b"0" * LONGEST_BYTES)
    device.gets(b" " * (1 << 20) + b"1", name="other")
    assert [f"allowed are {LONGEST_BYTES}" in event.text for event in device.events] == [True, True]


def test_names_that_nobody_sends_any_more_make_room() -> None:
    device = Device()
    for number in range(MOST):
        device.gets(1, name=f"junk{number}")
    device.gets(5)
    assert device.state() == (None, Freshness.UNAVAILABLE)
    device.now += 61
    device.gets(2, name="junk7")
    device.gets(5)
    assert device.state() == (5.0, Freshness.FRESH)
    assert device.state("input/junk7") == (2.0, Freshness.FRESH)
    assert len(device.inputs.readings()) == MOST


def test_each_message_is_counted_by_what_became_of_it() -> None:
    device = Device()
    for number in range(100):
        device.gets(number)
    device.gets(b"x", name="other")
    device.inputs.readings()
    device.now += 10
    device.gets(b"")
    counts = device.heard.counts
    assert (counts["input", "refused"], counts["input", "cleared"]) == (1, 1)
    assert counts["input", "overtaken"] > 70, "of a flood the last one counts"
    assert sum(counts.values()) == 102
