"""Suspending by a hook that runs for real, with clocks that are faked; and the other ways as command lines."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from tidegate.policy.policy import Sleep, Wake
from tidegate.policy.sleep import Sleeping, fall_asleep
from tidegate.supervisor.control.last_run import End, RunRecord, end_of, read_last_run
from tidegate.supervisor.control.suspension import Now
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.suspend_command import commands
from tidegate.supervisor.system_sleep import SystemSleep
from tidegate_drivers.clocks import Clocks

EVENING = datetime(2026, 6, 1, 22, 0, tzinfo=UTC)
MORNING = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
NIGHT = fall_asleep("night", Sleep(Wake(time(6))), 0.0, EVENING)


class Machine:
    """Its clocks, and the agent's state on its disk."""

    def __init__(self, directory: Path, by: str | None) -> None:
        self.directory = directory
        self.slept_s = 0.0
        self.events: list[Event] = []
        self.refreshed = 0
        self.record = RunRecord(directory, "boot 1", lambda: "b")
        self.record.at("full")
        self.system = SystemSleep(
            by,
            keep=self.record.ended,
            back=self.record.goes_on,
            refresh=self.refresh,
            emit=self.events.append,
            read=lambda: Now(Clocks(100.0, 100.0 + self.slept_s), EVENING.timestamp() + self.slept_s),
        )

    def refresh(self) -> None:
        self.refreshed += 1

    async def sleeps(self, sleeping: Sleeping | None) -> None:
        self.system.consider(sleeping)
        if self.system._suspending is not None:
            await self.system._suspending
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        await asyncio.sleep(0.05)

    @property
    def end(self) -> End:
        """How the next boot would judge this run's end."""
        return end_of(read_last_run(self.directory)[0], "boot 2")


@pytest.fixture
def hook(tmp_path: Path) -> Callable[[str], str]:
    def made(script: str) -> str:
        path = tmp_path / "hook"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return made


def test_a_hook_gets_the_time_and_a_cut_power_is_no_loss(tmp_path: Path, hook: Callable[[str], str]) -> None:
    async def night() -> Machine:
        machine = Machine(tmp_path, hook(f'echo "$1" >> {tmp_path}/asked'))
        assert machine.end is End.DEVICE_LOST
        await machine.sleeps(NIGHT)
        assert machine.end is End.GOODBYE
        await machine.sleeps(NIGHT)
        machine.slept_s = 8 * 3600.0
        machine.system.notice()
        await machine.sleeps(None)
        return machine

    machine = asyncio.run(night())
    assert (tmp_path / "asked").read_text().split() == [str(int(MORNING.timestamp()))]
    assert machine.end is End.DEVICE_LOST, "awake again, a cut of the power is one again"
    assert [event.kind for event in machine.events] == [EventKind.SLEEP, EventKind.SLEEP]
    assert machine.events[1].details == {"suspended_s": 28800.0, "clock_off_s": 0.0}
    assert machine.refreshed == 1


def test_a_hook_that_fails_is_told_once_and_not_asked_again(tmp_path: Path, hook: Callable[[str], str]) -> None:
    async def night() -> Machine:
        machine = Machine(tmp_path, hook(f"echo asked >> {tmp_path}/asked; echo 'no RTC here' >&2; exit 3"))
        for _ in range(3):
            await machine.sleeps(NIGHT)
        return machine

    machine = asyncio.run(night())
    assert (tmp_path / "asked").read_text().split() == ["asked"]
    fault = machine.events[-1]
    assert fault.kind is EventKind.FAULT
    assert "ended with 3: no RTC here" in fault.text
    assert "the worker alone sleeps" in fault.text


def test_without_permission_nothing_is_run(tmp_path: Path) -> None:
    async def night() -> Machine:
        machine = Machine(tmp_path, None)
        await machine.sleeps(NIGHT)
        return machine

    machine = asyncio.run(night())
    assert machine.events == []
    assert machine.end is End.DEVICE_LOST


def test_systemd_has_the_clock_of_the_board_wake_it() -> None:
    timer, suspend = commands("systemd", MORNING)
    assert timer[0] == "systemd-run"
    assert "--on-calendar=2026-06-02 06:00:00 UTC" in timer
    assert "--timer-property=WakeSystem=yes" in timer
    assert suspend == ("systemctl", "suspend")


def test_pmset_gets_the_time_as_the_mac_shows_it() -> None:
    schedule, now = commands("pmset", MORNING)
    assert schedule == ("pmset", "schedule", "wake", f"{MORNING.astimezone():%m/%d/%y %H:%M:%S}")
    assert now == ("pmset", "sleepnow")
