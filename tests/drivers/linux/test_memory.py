"""meminfo and PSI from text and from this machine."""

import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.linux.memory import discover, read_available_bytes, read_pressure_percent
from tidegate_drivers.sensor import SensorError

WriteTree = Callable[[str], Path]

TREE = """
    proc/meminfo: MemTotal:  4000000 kB\\nMemFree:  100 kB\\nMemAvailable:  1500000 kB\\nHugePages_Total:  0
    proc/pressure/memory: some avg10=3.14 avg60=1.00 avg300=0.20 total=1\\nfull avg10=1.00 avg60=0 avg300=0
"""


def test_available_is_in_bytes_and_pressure_in_percent(write_tree: WriteTree) -> None:
    root = write_tree(TREE)
    assert {sensor.name: sensor.read() for sensor in discover(root).sensors} == {
        "memory_available": 1_536_000_000.0,
        "memory_pressure": 3.14,
    }


@pytest.mark.parametrize(
    "meminfo",
    [
        "MemTotal: 4000 kB",
        "MemTotal: 4000 kB\\nMemAvailable: 5000 kB",
        "MemTotal: 4000 kB\\nMemAvailable: ? kB",
        "x",
    ],
)
def test_meminfo_that_says_no_such_thing(write_tree: WriteTree, meminfo: str) -> None:
    path = write_tree(f"proc/meminfo: {meminfo}") / "proc/meminfo"
    with pytest.raises(SensorError):
        read_available_bytes(path)


@pytest.mark.parametrize(
    "psi", ["", "full avg10=1.00 ", "some avg10=1.2.3 x", "some avg10=101 avg60=0", "some avg10=nan x"]
)
def test_psi_that_says_no_such_thing(write_tree: WriteTree, psi: str) -> None:
    path = write_tree(f"proc/pressure/memory: {psi}") / "proc/pressure/memory"
    with pytest.raises(SensorError, match="avg10"):
        read_pressure_percent(path)


def test_psi_switched_off_is_refused_with_what_to_do(write_tree: WriteTree) -> None:
    root = write_tree("proc/meminfo: MemTotal: 4000 kB\\nMemAvailable: 1000 kB")
    (missing,) = discover(root).unavailable
    assert missing.name == "memory_pressure"
    assert "psi=1" in missing.grant


@pytest.mark.skipif(platform.system() != "Linux", reason="/proc/meminfo is Linux's")
def test_this_machine() -> None:
    sensors = {sensor.name: sensor for sensor in discover(Path("/")).sensors}
    available = sensors["memory_available"].read()
    assert isinstance(available, float)
    assert available > 1 << 20


def test_denied_file_is_refused_with_the_command_that_grants_it(write_tree: WriteTree) -> None:
    root = write_tree(TREE)
    (root / "proc").chmod(0)
    am_root = os.geteuid() == 0  # whom no mode stops: read as nobody
    if am_root:
        os.seteuid(65534)
    try:
        unavailable = discover(root).unavailable
    finally:
        if am_root:
            os.seteuid(0)
        (root / "proc").chmod(0o755)
    assert {missing.name: missing.grant for missing in unavailable} == {
        "memory_available": f"sudo chmod a+r {root}/proc/meminfo",
        "memory_pressure": f"sudo chmod a+r {root}/proc/pressure/memory",
    }
    assert all("may not be read by this user (EACCES)" in missing.reason for missing in unavailable)
