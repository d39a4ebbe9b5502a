"""Throttle counters, each owner counted once."""

from collections.abc import Callable
from pathlib import Path

from tidegate_drivers.linux.throttle import discover
from tidegate_drivers.read_sensor import read_sensor

WriteTree = Callable[[str], Path]

CPU = "sys/devices/system/cpu"


def processor(number: int, package: int, core: int, counts: tuple[int, int]) -> str:
    cpu = f"{CPU}/cpu{number}"
    return f"""
        {cpu}/topology/physical_package_id: {package}
        {cpu}/topology/core_id: {core}
        {cpu}/thermal_throttle/core_throttle_count: {counts[0]}
        {cpu}/thermal_throttle/package_throttle_count: {counts[1]}
    """


def test_siblings_and_packages_are_counted_once(write_tree: WriteTree) -> None:
    root = write_tree(
        processor(0, 0, 0, (3, 10))
        + processor(1, 0, 0, (3, 10))  # the other thread of the same core
        + processor(2, 0, 1, (4, 10))
        + processor(3, 1, 0, (5, 20))
    )
    values = {sensor.name: read_sensor(sensor).value for sensor in discover(root).sensors}
    assert values == {"throttle_count/core": 12.0, "throttle_count/package": 30.0}


def test_processors_without_counters_are_refused(write_tree: WriteTree) -> None:
    (missing,) = discover(write_tree(f"{CPU}/cpu0/topology/core_id: 0")).unavailable
    assert "only Intel" in missing.reason
