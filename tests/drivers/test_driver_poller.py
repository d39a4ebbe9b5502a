"""Devices that come, go and change: looked for anew without a restart, at once when a wake says so."""

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tidegate_drivers.linux import power_supply
from tidegate_drivers.reading import TEMPERATURE, Provenance, Snapshot, Unit
from tidegate_drivers.sampler import Sampler
from tidegate_drivers.sensor import Cost, Discovery, Sensor, WakeOn

WriteTree = Callable[[str], Path]

CLASS = "sys/class/power_supply"
BATTERY = f"{CLASS}/BAT0/type: Battery\n{CLASS}/BAT0/status: Discharging\n{CLASS}/BAT0/capacity: 41"
BOUND_S = 20.0


class Pipe:
    """A wake in the test's hand."""

    poll_mask = select.POLLIN

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()
        self.broken = False

    def fileno(self) -> int:
        return self.reads

    def drain(self) -> frozenset[str] | None:
        word = os.read(self.reads, 4096).decode()
        if self.broken:
            raise OSError("gone")
        return None if word == "lost" else frozenset({word})

    def tell(self, word: str) -> None:
        os.write(self.writes, word.encode())

    def close(self) -> None:
        os.close(self.reads)
        os.close(self.writes)


@contextmanager
def running(*found: Discovery) -> Iterator[Sampler]:
    sampler = Sampler(found)
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.stop()


def wait_for(sampler: Sampler, holds: Callable[[Snapshot], bool]) -> Snapshot:
    ends_at = time.monotonic() + BOUND_S
    while time.monotonic() < ends_at:
        snapshot = sampler.snapshot()
        if holds(snapshot):
            return snapshot
        time.sleep(0.005)
    pytest.fail(f"never came true within {BOUND_S:g} s; last: {sampler.snapshot()}")


def listening(root: Path, pipe: Pipe) -> Discovery:
    found = power_supply.discover(root)
    wake_on = (WakeOn(lambda: pipe, frozenset({"power_supply"})),)
    return Discovery(found.driver, found.sensors, found.unavailable, partial(listening, root, pipe), wake_on)


@pytest.mark.parametrize("word", ["power_supply", "lost"])
def test_battery_that_is_plugged_in_and_out_is_followed(write_tree: WriteTree, word: str) -> None:
    root, pipe = write_tree(f"{CLASS}/"), Pipe()
    with running(listening(root, pipe)) as sampler:
        assert "knows no battery" in sampler.snapshot().readings["battery"].reason
        write_tree(BATTERY)
        pipe.tell(word)
        wait_for(sampler, lambda now: now.number("battery") == 41.0 and now.number("battery/BAT0") == 41.0)
        for path in sorted((root / CLASS / "BAT0").iterdir()):
            path.unlink()
        (root / CLASS / "BAT0").rmdir()
        pipe.tell(word)
        wait_for(
            sampler,
            lambda now: (
                "knows no battery" in now.readings["battery"].reason and "battery/BAT0" not in now.readings
            ),
        )


def test_status_that_lags_the_plug_is_read_again(write_tree: WriteTree) -> None:
    root, pipe = write_tree(BATTERY), Pipe()
    with running(listening(root, pipe)) as sampler:
        wait_for(sampler, lambda now: now.word("power_source") == "battery")
        pipe.tell("power_supply")
        wait_for(sampler, lambda now: now.at > 0)
        write_tree(f"{CLASS}/BAT0/status: Charging")
        wait_for(sampler, lambda now: now.word("power_source") == "external")


def test_other_topics_and_a_broken_wake_leave_the_polls(write_tree: WriteTree) -> None:
    root, pipe = write_tree(BATTERY), Pipe()
    with running(listening(root, pipe)) as sampler:
        wait_for(sampler, lambda now: now.number("battery") == 41.0)
        pipe.broken = True
        pipe.tell("usb")
        write_tree(f"{CLASS}/BAT0/capacity: 40")
        wait_for(sampler, lambda now: now.number("battery") == 40.0)


def test_wake_that_can_not_be_opened_leaves_the_polls() -> None:
    def refuse() -> Pipe:
        raise OSError("no netlink here")

    sensor = Sensor(TEMPERATURE, Unit.CELSIUS, Provenance.MEASURED, "test", lambda: 50.0)
    with running(Discovery("test", (sensor,), wake_on=(WakeOn(refuse, frozenset({"x"})),))) as sampler:
        wait_for(sampler, lambda now: now.number(TEMPERATURE) == 50.0)


def test_discovery_that_breaks_later_costs_nothing_found() -> None:
    def broken() -> Discovery:
        raise ZeroDivisionError

    pipe = Pipe()
    ticks = iter(range(1_000_000))
    read = partial(next, ticks)
    sensor = Sensor(TEMPERATURE, Unit.CELSIUS, Provenance.MEASURED, "test", lambda: float(read()), 0.02)
    wake_on = (WakeOn(lambda: pipe, frozenset({"x"})),)
    with running(Discovery("test", (sensor,), again=broken, wake_on=wake_on)) as sampler:
        wait_for(sampler, lambda now: (now.number(TEMPERATURE) or 0) > 2)
        pipe.tell("x")
        before = sampler.snapshot().number(TEMPERATURE) or 0
        wait_for(sampler, lambda now: (now.number(TEMPERATURE) or 0) > before + 20)


def test_value_that_is_lost_makes_the_driver_look_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_drivers.driver_poller._DISCOVER_AFTER_LOSS_S", 0.0)
    moved = Sensor(TEMPERATURE, Unit.CELSIUS, Provenance.MEASURED, "hwmon5", lambda: 60.0)
    values = iter([50.0])
    before = Sensor(TEMPERATURE, Unit.CELSIUS, Provenance.MEASURED, "hwmon3", lambda: next(values), 0.02)
    with running(Discovery("test", (before,), again=lambda: Discovery("test", (moved,)))) as sampler:
        snapshot = wait_for(sampler, lambda now: now.number(TEMPERATURE) == 60.0)
        assert snapshot.readings[TEMPERATURE].source == "hwmon5"


def test_cheap_sensors_are_read_before_dear_ones() -> None:
    read: list[str] = []

    def sensor(name: str, cost: Cost) -> Sensor:
        def note() -> float:
            read.append(name)
            return 1.0

        return Sensor(name, Unit.CELSIUS, Provenance.MEASURED, "test", note, 60.0, cost)

    dear_first = (sensor("c", Cost.PROCESS), sensor("b", Cost.DEVICE), sensor("a", Cost.KERNEL))
    with running(Discovery("test", dear_first)) as sampler:
        wait_for(sampler, lambda now: now.number("c") == 1.0)
    assert read == ["a", "b", "c"]


def test_driver_that_was_found_too_late_hears_events_all_the_same(
    write_tree: WriteTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate_drivers.watch._COALESCE_S", 0.02)
    monkeypatch.setattr("tidegate_drivers.watch._ROUND_S", 0.1)
    monkeypatch.setattr("tidegate_drivers.driver_poller._DISCOVER_EVERY_S", 0.05)
    root, pipe = write_tree(BATTERY), Pipe()
    missed = Discovery("power_supply", again=partial(listening, root, pipe))
    with running(missed) as sampler:
        wait_for(sampler, lambda now: now.number("battery") == 41.0)
        monkeypatch.setattr("tidegate_drivers.driver_poller._DISCOVER_EVERY_S", 1e6)
        wait_for(sampler, lambda _: pipe.fileno() in sampler._watch._wakes)
        for slot in sampler._pollers[0]._polled:  # no poll comes before the event
            slot.due = time.monotonic() + 1e6
        write_tree(f"{CLASS}/BAT0/capacity: 23")
        pipe.tell("power_supply")
        wait_for(sampler, lambda now: now.number("battery") == 23.0)
