"""The latest time never goes back, over wrong clocks, restarts and lost files; a clock far ahead is no trap."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate import RELEASED
from tidegate.supervisor.updates.latest_time import (
    BELIEVED_AFTER_S,
    BELIEVED_AT_ONCE_S,
    FILE_NAME,
    LONGEST_LIFE_S,
    WITNESSES,
    WRITE_EVERY_S,
    LatestTime,
)

DAY_S = 86_400.0
T = RELEASED.timestamp() + 100 * DAY_S


class Clock:
    def __init__(self, unix_s: float) -> None:
        self.unix_s = unix_s
        self.now = 0.0

    def latest(self, directory: Path) -> LatestTime:
        return LatestTime(directory, lambda: self.unix_s, lambda: self.now)


def test_a_device_that_knows_nothing_is_no_earlier_than_its_software(tmp_path: Path) -> None:
    latest = Clock(0.0).latest(tmp_path)
    assert latest.now() == RELEASED
    assert latest.clock().year == 1970
    assert "1970-01-01T00:00+00:00, which is past" in latest.problem


@pytest.mark.parametrize("wrong", [0.0, -5.0, T - 30 * DAY_S])
def test_a_clock_that_goes_back_does_not_take_the_time_with_it(tmp_path: Path, wrong: float) -> None:
    clock = Clock(T)
    latest = clock.latest(tmp_path)
    assert (latest.now().timestamp(), latest.problem) == (T, "")
    clock.unix_s = wrong
    assert latest.now().timestamp() == T
    again = clock.latest(tmp_path)
    assert again.now().timestamp() == T
    assert "--believe-clock" in again.problem
    clock.unix_s = T + 5
    assert (again.now().timestamp(), again.problem) == (T + 5, "")


@pytest.mark.parametrize("name", WITNESSES)
def test_the_files_of_the_state_are_witnesses(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    os.utime(tmp_path / name, (T, T))
    assert Clock(0.0).latest(tmp_path).now().timestamp() == T


@pytest.mark.parametrize("content", [b"", b"x", b"-5", b"\xff", b"1" * 5000, b"9" * 12])
def test_a_damaged_file_costs_what_it_knew_and_nothing_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert Clock(T).latest(tmp_path).now().timestamp() == T
    assert Clock(0.0).latest(tmp_path).now().timestamp() == T


def test_it_is_written_at_starts_and_once_a_day(tmp_path: Path) -> None:
    clock = Clock(T)
    latest = clock.latest(tmp_path)
    written = []
    for _ in range(24 * 60 * 2):
        clock.unix_s += 60
        latest.note()
        written.append((tmp_path / FILE_NAME).read_text())
    assert len(set(written)) == 3
    latest.write()
    assert int((tmp_path / FILE_NAME).read_text()) == T + 2 * WRITE_EVERY_S


def test_a_clock_years_ahead_for_a_moment_leaves_no_trace(tmp_path: Path) -> None:
    clock = Clock(T)
    latest = clock.latest(tmp_path)
    clock.unix_s = far = T + 2 * BELIEVED_AT_ONCE_S
    assert latest.now().timestamp() == far, "while it says so, nothing else is known to be right"
    assert "years after" in latest.problem
    clock.now += BELIEVED_AFTER_S - 1
    latest.note()
    assert clock.latest(tmp_path).now().timestamp() == far
    os.utime(tmp_path / FILE_NAME, (far, far))
    clock.unix_s = T + 60
    assert (latest.now().timestamp(), latest.problem) == (T + 60, "")
    assert clock.latest(tmp_path).now().timestamp() == T + 60


def test_a_clock_years_ahead_for_an_hour_counts_and_its_owner_can_take_it_back(tmp_path: Path) -> None:
    clock = Clock(T)
    latest = clock.latest(tmp_path)
    clock.unix_s = far = T + 2 * BELIEVED_AT_ONCE_S
    latest.note()
    clock.now += BELIEVED_AFTER_S
    latest.note()
    (tmp_path / "session").touch()
    os.utime(tmp_path / "session", (T + DAY_S * 900, T + DAY_S * 900))
    clock.unix_s = T + 60
    assert latest.now().timestamp() == far
    again = clock.latest(tmp_path)
    assert again.now().timestamp() == far
    assert again.problem
    again.believe_clock()
    assert (again.now().timestamp(), again.problem) == (T + 60, "")
    assert clock.latest(tmp_path).now().timestamp() == T + 60


def test_a_clock_that_no_device_will_live_to_see_never_counts(tmp_path: Path) -> None:
    clock = Clock(T)
    latest = clock.latest(tmp_path)
    clock.unix_s = RELEASED.timestamp() + LONGEST_LIFE_S + 1
    for _ in range(10):
        clock.now += BELIEVED_AFTER_S
        latest.note()
    assert "years after" in latest.problem
    clock.unix_s = T + 1
    assert (latest.now().timestamp(), latest.problem) == (T + 1, "")


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=8))
def test_no_clock_is_too_strange(times: list[float]) -> None:
    clock = Clock(times[0])
    latest = clock.latest(Path("/nonexistent"))
    before = latest.now()
    for unix_s in times:
        clock.unix_s = unix_s
        clock.now += 10_000
        latest.note()
        assert latest.now() >= RELEASED
        assert isinstance(latest.problem, str)
    clock.unix_s = times[0]
    assert latest.now() >= min(before, latest.now())
