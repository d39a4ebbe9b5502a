"""Every attribute of a laptop's tree under every fault: the right value or a reason, never a wrong value."""

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from drivers.catalog import discover_all
from drivers.reading import Value
from drivers.sampler import take
from drivers.sensor import Sensor

WriteTree = Callable[[str], Path]

POWER_CLASS = "sys/class/power_supply"
THERMAL_CLASS = "sys/class/thermal"

TREE = f"""
    {POWER_CLASS}/AC/type: Mains
    {POWER_CLASS}/AC/online: 0
    {POWER_CLASS}/BAT0/type: Battery
    {POWER_CLASS}/BAT0/scope: System
    {POWER_CLASS}/BAT0/status: Discharging
    {POWER_CLASS}/BAT0/present: 1
    {POWER_CLASS}/BAT0/capacity: 40
    {POWER_CLASS}/BAT0/energy_now: 20000000
    {POWER_CLASS}/BAT0/energy_full: 50000000
    {POWER_CLASS}/BAT0/power_now: 9800000
    {POWER_CLASS}/BAT0/temp: 300
    {POWER_CLASS}/BAT1/type: Battery
    {POWER_CLASS}/BAT1/status: Discharging
    {POWER_CLASS}/BAT1/capacity: 100
    {POWER_CLASS}/BAT1/charge_now: 1000000
    {POWER_CLASS}/BAT1/charge_full: 1000000
    {POWER_CLASS}/BAT1/current_now: -250000
    {POWER_CLASS}/BAT1/voltage_now: 10000000
    {POWER_CLASS}/hidpp_battery_0/type: Battery
    {POWER_CLASS}/hidpp_battery_0/scope: Device
    {POWER_CLASS}/hidpp_battery_0/status: Charging
    {POWER_CLASS}/hidpp_battery_0/capacity: 5
    {THERMAL_CLASS}/thermal_zone0/type: soc-thermal
    {THERMAL_CLASS}/thermal_zone0/temp: 51500
    {THERMAL_CLASS}/thermal_zone0/trip_point_0_type: passive
    {THERMAL_CLASS}/thermal_zone0/trip_point_0_temp: 50000
    {THERMAL_CLASS}/thermal_zone1/type: gpu-thermal
    {THERMAL_CLASS}/thermal_zone1/temp: 49000
    proc/meminfo: MemTotal: 4000000 kB\\nMemAvailable: 1500000 kB
    proc/pressure/memory: some avg10=3.14 avg60=1.00 avg300=0.20 total=1
"""

ATTRIBUTES = [line.split(":")[0].strip() for line in TREE.strip().splitlines()]


@contextmanager
def busy(path: Path) -> Iterator[None]:
    """A fifo with a writer and nothing in it: reading gives EAGAIN."""
    os.mkfifo(path)
    keeps_it_open = os.open(path, os.O_RDWR)
    try:
        yield
    finally:
        os.close(keeps_it_open)


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Reading this process's memory at address 0 gives EIO."""
    path.symlink_to("/proc/self/mem")
    yield


@contextmanager
def directory(path: Path) -> Iterator[None]:
    path.mkdir()
    yield


def holding(content: bytes) -> Callable[[Path], AbstractContextManager[None]]:
    @contextmanager
    def fault(path: Path) -> Iterator[None]:
        path.write_bytes(content)
        yield

    return fault


FAULTS = {
    "EAGAIN": busy,
    "EIO": failing,
    "EISDIR": directory,
    "empty": holding(b""),
    "garbage": holding(b"\xff\x00#!?\n"),
    "huge": holding(b"9" * 100_000),
}


# A zone that never worked in this process is no part of the hottest one: else a machine with one dead zone,
# of which there are many, would have no temperature for ever.
ZONE_LEFT_OUT = {"temperature": 49.0}


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """Makes room for a fault at the path, and puts the good attribute back."""
    aside = path.rename(path.with_name("aside"))
    try:
        yield
    finally:
        if path.is_dir():
            path.rmdir()
        aside.replace(path)


def sensors_of(root: Path) -> list[Sensor]:
    return [sensor for found in discover_all(root) for sensor in found.sensors]


def readings(sensors: list[Sensor]) -> dict[str, Value | None]:
    return {sensor.name: take(sensor).value for sensor in sensors if sensor.name != "cpu"}


@pytest.mark.skipif(platform.system() != "Linux", reason="a real EIO comes from /proc/self/mem")
@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("when", ["before discovery", "after a good read"])
def test_never_a_wrong_value(write_tree: WriteTree, attribute: str, when: str) -> None:
    root = write_tree(TREE)
    never_worked = when == "before discovery" and attribute.endswith(("thermal_zone0/type", "thermal_zone0/temp"))
    wrong: dict[str, dict[str, Value | None]] = {}
    for fault, inflict in FAULTS.items():
        sensors = sensors_of(root)
        healthy = readings(sensors)
        assert None not in healthy.values()
        with moved_away(root / attribute), inflict(root / attribute):
            given = readings(sensors_of(root) if when == "before discovery" else sensors)
        right = healthy | (ZONE_LEFT_OUT if never_worked else {})
        wrong[fault] = {name: value for name, value in given.items() if value not in (None, right.get(name))}
    assert not any(wrong.values()), f"{wrong}; healthy: {healthy}"
