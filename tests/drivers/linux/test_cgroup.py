"""Memory limits of control groups, both versions."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.linux.memory import discover
from tidegate_drivers.sensor import SensorError

WriteTree = Callable[[str], Path]

MACHINE = "proc/meminfo: MemTotal: 4000000 kB\\nMemAvailable: 3000000 kB\n"
V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"
MIB = 1 << 20


def available(root: Path) -> float:
    (sensor,) = (sensor for sensor in discover(root).sensors if sensor.name == "memory_available")
    value = sensor.read()
    assert isinstance(value, float)
    return value


def test_tightest_ancestor_counts_and_its_whole_use(write_tree: WriteTree) -> None:
    root = write_tree(
        MACHINE
        + f"""
        proc/self/cgroup: 0::/a.slice/b.service
        {V2}/a.slice/memory.max: {500 * MIB}
        {V2}/a.slice/memory.current: {450 * MIB}
        {V2}/a.slice/memory.stat: inactive_file {10 * MIB}
        {V2}/a.slice/b.service/memory.max: {400 * MIB}
        {V2}/a.slice/b.service/memory.high: {300 * MIB}
        {V2}/a.slice/b.service/memory.current: {100 * MIB}
        """
    )
    assert available(root) == 60 * MIB
    write_tree(f"{V2}/a.slice/memory.max: max")
    assert available(root) == 200 * MIB


def test_v1_says_no_limit_by_a_huge_number(write_tree: WriteTree) -> None:
    root = write_tree(
        MACHINE
        + f"""
        proc/self/cgroup: 4:memory,hugetlb:/docker/abc\\n0::/
        {V1}/docker/abc/memory.limit_in_bytes: 9223372036854771712
        {V1}/docker/abc/memory.usage_in_bytes: 5
        """
    )
    assert available(root) == 3_000_000 * 1024
    write_tree(f"{V1}/docker/abc/memory.limit_in_bytes: {MIB}")
    assert available(root) == MIB - 5


def test_container_sees_its_own_group_at_the_mount(write_tree: WriteTree) -> None:
    root = write_tree(
        MACHINE
        + f"""
        proc/self/cgroup: 0::/../../kubepods/pod1
        {V2}/memory.max: {64 * MIB}
        {V2}/memory.current: {60 * MIB}
        """
    )
    assert available(root) == 4 * MIB


def test_use_over_the_limit_leaves_nothing(write_tree: WriteTree) -> None:
    root = write_tree(MACHINE + f"{V2}/memory.max: 100\n    {V2}/memory.current: 150")
    assert available(root) == 0.0


@pytest.mark.parametrize(
    "line", ["memory.current: lots", "memory.max: -1", "memory.max: 12 13", "memory.stat: anon 1"]
)
def test_limit_that_can_not_be_known_is_no_value(write_tree: WriteTree, line: str) -> None:
    root = write_tree(MACHINE + f"{V2}/memory.max: 100\n    {V2}/memory.current: 50\n    {V2}/{line}")
    with pytest.raises((SensorError, ValueError)):
        available(root)
