"""Only the same message, larger than all that the broker takes, is ever held to be what a hang-up means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.link.hang_ups import TIMES_TO_ISOLATE, TIMES_TO_REFUSE, HangUps
from tidegate.telemetry.link.message import Message

STATUS = Message("t", b"online")
LARGE, SMALL = Message("t", b"x" * 1000, 2), Message("t", b"x" * 10, 3)


def test_the_same_large_message_is_isolated_then_refused() -> None:
    hang_ups = HangUps()
    verdicts = []
    for _ in range(TIMES_TO_REFUSE):
        hang_ups.answered(STATUS)
        alone = "isolate" in verdicts
        verdicts.append(hang_ups.count([LARGE] if alone else [SMALL, LARGE]))
    isolated = ["isolate"] * (TIMES_TO_REFUSE - TIMES_TO_ISOLATE)
    assert verdicts == ["nothing"] * (TIMES_TO_ISOLATE - 1) + isolated + ["refuse"]
    larger = Message("t", b"x" * 2000, 9)
    assert hang_ups.count([SMALL, larger]) == "isolate", "one is known to be too large"
    assert hang_ups.count([larger]) == "refuse"


@given(st.lists(st.integers(0, 500), min_size=1, max_size=30), st.integers(1, 40))
def test_a_network_that_fails_at_random_costs_no_message(sizes: list[int], times: int) -> None:
    """What is unanswered then is smaller than something that was answered, or another message every time."""
    hang_ups = HangUps()
    hang_ups.answered(Message("t", b"x" * 500))
    messages = [Message("t", b"x" * size, seq) for seq, size in enumerate(sizes)]
    assert all(hang_ups.count(messages) == "nothing" for _ in range(times))


@pytest.mark.parametrize("between", ["another message", "a stable connection"])
def test_the_count_begins_anew(between: str) -> None:
    hang_ups = HangUps()
    for number in range(3 * TIMES_TO_REFUSE):
        hang_ups.answered(STATUS)
        if number % (TIMES_TO_REFUSE - 1) == 0 and number:
            if between == "another message":
                hang_ups.count([Message("t", b"y" * 2000, 100 + number)])
            else:
                hang_ups.ended_otherwise()
                hang_ups.answered(STATUS)
        assert hang_ups.count([LARGE]) != "refuse"


def test_nothing_is_blamed_where_nothing_was_ever_answered() -> None:
    hang_ups = HangUps()
    assert all(hang_ups.count([LARGE]) == "nothing" for _ in range(3 * TIMES_TO_REFUSE))
