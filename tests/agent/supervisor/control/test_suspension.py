"""The system's sleep, with faked clocks: what is told of one, and when one is asked for."""

from datetime import UTC, datetime, time, timedelta

import pytest

from tidegate.policy.policy import Sleep, Wake
from tidegate.policy.sleep import Sleeping, fall_asleep
from tidegate.supervisor.control.suspension import AGAIN_S, SHORTEST_S, Now, Suspension, resumed
from tidegate_drivers.clocks import Clocks

EVENING = datetime(2026, 6, 1, 22, 0, tzinfo=UTC)


def now(awake_s: float = 1000.0, slept_s: float = 0.0, clock_off_s: float = 0.0) -> Now:
    """So long awake and asleep since EVENING, by a clock that is off by so much."""
    unix_s = EVENING.timestamp() + awake_s - 1000.0 + slept_s + clock_off_s
    return Now(Clocks(awake_s, awake_s + slept_s), unix_s)


def asleep(wake: Wake) -> Sleeping:
    return fall_asleep("night", Sleep(wake), 0.0, EVENING)


NIGHT = asleep(Wake(time(6)))


def test_time_awake_is_no_suspension_whatever_the_clock_does() -> None:
    assert resumed(now(), now(2000.0)) is None
    assert resumed(now(), now(2000.0, clock_off_s=86_400.0)) is None


@pytest.mark.parametrize(
    ("clock_off_s", "says"),
    [
        (0.0, "the system was suspended for 3600 s"),
        (30.0, "the system was suspended for 3600 s"),
        (-3600.0, "the clock is 3600 s behind that: times of day are wrong until NTP has set it"),
        (7200.0, "the clock is 7200 s ahead of that"),
    ],
)
def test_a_suspension_is_told_with_its_length_and_a_clock_that_is_wrong(clock_off_s: float, says: str) -> None:
    found = resumed(now(), now(1010.0, slept_s=3600.0, clock_off_s=clock_off_s))
    assert found is not None
    assert found.suspended_s == pytest.approx(3600.0)
    assert says in found.in_words()
    assert ("NTP" in found.in_words()) is (abs(clock_off_s) > 60)


def test_only_a_sleep_that_the_time_alone_ends_takes_the_system_with_it() -> None:
    due = {
        wake: Suspension().due(asleep(wake), now())
        for wake in (
            Wake(time(6)),
            Wake(time(6), battery_above=40.0),
            Wake(time(6), request=True),
            Wake(time(6), input="motion"),
            Wake(battery_above=40.0),
        )
    }
    assert list(due.values()) == [True, True, False, False, False]
    assert not Suspension().due(None, now())


def test_what_is_too_short_is_not_worth_it() -> None:
    soon = EVENING + timedelta(seconds=SHORTEST_S + 60)
    short = asleep(Wake(soon.time()))
    assert Suspension().due(short, now())
    assert not Suspension().due(short, now(1061.0))


def test_one_that_ends_early_is_asked_for_again_later_and_one_that_fails_never() -> None:
    asked = Suspension().asked(now(), NIGHT.wake_at)
    assert not asked.due(NIGHT, now(1000.0 + AGAIN_S - 1))
    assert asked.due(NIGHT, now(1000.0 + AGAIN_S))
    failed = asked.failed(NIGHT)
    assert not failed.due(NIGHT, now(1000.0 + AGAIN_S))
    another = fall_asleep("night", Sleep(Wake(time(6))), 1.0, EVENING + timedelta(minutes=20))
    assert failed.due(another, now(1000.0 + AGAIN_S))


def test_one_that_ended_in_time_keeps_no_other_waiting() -> None:
    before = Suspension().asked(now(), EVENING)
    assert before.due(NIGHT, now(1001.0))
