"""Settings follow the policy over real files, leave alone what is not allowed, and say each change once."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tidegate.supervisor.control.settings import Settings
from tidegate.supervisor.events.event import Event, EventKind
from tidegate_drivers.controls.controls import Controls

GOVERNOR = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
PROFILE = "sys/firmware/acpi/platform_profile"
BOUND_S = 10.0


class Device:
    """A device of two settings, and what the agent says of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[Event] = []
        self._more = asyncio.Event()
        for name, now, choices in (
            (GOVERNOR, "schedutil", "scaling_available_governors: performance schedutil powersave"),
            (PROFILE, "balanced", "platform_profile_choices: low-power balanced"),
        ):
            file, (choice, words) = root / name, choices.split(": ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{now}\n")
            (file.parent / choice).write_text(f"{words}\n")

    def settings(self, *enabled: str) -> Settings:
        return Settings(Controls(self.root / "controls.json", enabled, self.root), self._hear)

    def now(self) -> tuple[str, str]:
        return (self.root / GOVERNOR).read_text().strip(), (self.root / PROFILE).read_text().strip()

    async def reaches(self, governor: str, profile: str, events: int) -> None:
        async with asyncio.timeout(BOUND_S):
            while len(self.events) < events:
                self._more.clear()
                await self._more.wait()
        assert (self.now(), len(self.events)) == ((governor, profile), events)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    def said(self) -> list[tuple[EventKind, str]]:
        return [(event.kind, event.text) for event in self.events]


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def follow(settings: Settings, steps: Callable[[], Awaitable[None]]) -> None:
    async def go() -> None:
        async with settings.kept():
            await steps()

    asyncio.run(go())


def test_rules_come_and_go(device: Device) -> None:
    settings = device.settings("cpu_governor", "platform_profile")

    async def steps() -> None:
        settings.want({"cpu_governor": "powersave", "platform_profile": "low-power"})
        await device.reaches("powersave", "low-power", 2)
        settings.want({"cpu_governor": "powersave", "platform_profile": "low-power"})
        settings.want({"cpu_governor": "powersave"})
        await device.reaches("powersave", "balanced", 3)
        settings.want({"cpu_governor": "performance"})
        await device.reaches("performance", "balanced", 4)

    follow(settings, steps)
    assert device.now() == ("schedutil", "balanced")
    assert device.said() == [
        (EventKind.CONTROL, "cpu_governor is powersave"),
        (EventKind.CONTROL, "platform_profile is low-power"),
        (EventKind.CONTROL, "platform_profile is as it was: the policy no longer wants it set"),
        (EventKind.CONTROL, "cpu_governor is performance"),
        (EventKind.CONTROL, "cpu_governor is as it was: the agent ends"),
    ]


def test_what_the_owner_does_not_allow_is_said_once_and_left(device: Device) -> None:
    settings = device.settings("cpu_governor")

    async def steps() -> None:
        for _ in range(3):
            settings.want({"cpu_governor": "powersave", "platform_profile": "low-power"})
            await device.reaches("powersave", "balanced", 2)
            await asyncio.sleep(0.02)

    follow(settings, steps)
    refused = "platform_profile is left alone: the policy wants it, agent.yaml does not list it under `controls`"
    assert device.said().count((EventKind.CONTROL, refused)) == 1
    assert len(device.events) == 3


def test_a_failure_is_said_once_and_costs_nothing_else(device: Device) -> None:
    settings = device.settings("cpu_governor", "platform_profile")

    async def steps() -> None:
        for _ in range(3):
            settings.want({"cpu_governor": "ondemand", "platform_profile": "low-power"})
            await device.reaches("schedutil", "low-power", 2)
            await asyncio.sleep(0.02)
        settings.want({"cpu_governor": "powersave", "platform_profile": "low-power"})
        await device.reaches("powersave", "low-power", 3)

    follow(settings, steps)
    assert device.now() == ("schedutil", "balanced")
    (fault,) = [event for event in device.events if event.kind is EventKind.FAULT]
    assert fault.text.endswith("can't be 'ondemand'; it can be performance, schedutil, powersave")
    assert fault.details == {"control": "cpu_governor", "value": "ondemand"}


def test_what_could_not_be_put_back_is_said(device: Device) -> None:
    settings = device.settings("platform_profile")

    async def steps() -> None:
        settings.want({"platform_profile": "low-power"})
        await device.reaches("schedutil", "low-power", 1)
        (device.root / PROFILE).unlink()

    follow(settings, steps)
    assert device.events[-1].kind is EventKind.FAULT
    assert device.events[-1].text.startswith(f"not put back: what {device.root / PROFILE} ")
