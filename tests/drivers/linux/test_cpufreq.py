"""Clock frequencies by kind of core."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.linux.cpufreq import discover
from tidegate_drivers.linux.sysfs import UnreadableError, read_int
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Provenance

WriteTree = Callable[[str], Path]

CPU = "sys/devices/system/cpu"


def policy(directory: str, top_khz: object, now_khz: object) -> str:
    lines = {"cpuinfo_max_freq": top_khz, "scaling_max_freq": top_khz, "scaling_cur_freq": now_khz}
    return "\n".join(f"{directory}/{file}: {value}" for file, value in lines.items()) + "\n"


def test_each_kind_of_core_is_one_reading_the_fastest_of_its_kind(write_tree: WriteTree) -> None:
    tree = policy(f"{CPU}/cpufreq/policy0", 1800000, 400000) + policy(f"{CPU}/cpufreq/policy10", 2400000, 900000)
    root = write_tree(tree + policy(f"{CPU}/cpufreq/policy4", 2400000, 1200000))
    values = {sensor.name: read_sensor(sensor).value for sensor in discover(root).sensors}
    assert values == {
        "frequency/policy0": 400e6,
        "frequency_limit/policy0": 1800e6,
        "frequency/policy4": 1200e6,
        "frequency_limit/policy4": 2400e6,
    }


def test_policy_of_unknown_kind_makes_the_others_partial(write_tree: WriteTree) -> None:
    root = write_tree(policy(f"{CPU}/cpufreq/policy0", 1800000, 1) + policy(f"{CPU}/cpufreq/policy4", "?", 2))
    found = discover(root)
    assert {sensor.provenance for sensor in found.sensors} == {Provenance.MEASURED_PARTIAL}
    assert found.unavailable[0].name == "frequency/policy4"
    assert all(
        read_sensor(sensor).value != 0.001 for sensor in found.sensors if sensor.name == "frequency/policy0"
    )


def test_old_kernels_have_a_directory_in_each_processor(write_tree: WriteTree) -> None:
    root = write_tree(f"{CPU}/cpufreq/\n{CPU}/cpuidle/\n" + policy(f"{CPU}/cpu0/cpufreq", 1200000, 600000))
    assert [read_sensor(sensor).value for sensor in discover(root).sensors] == [600e6, 1200e6]


def test_no_scaling_is_refused(write_tree: WriteTree) -> None:
    assert "no frequency policy" in discover(write_tree(f"{CPU}/cpufreq/")).unavailable[0].reason


def test_cores_that_are_switched_off_are_left_out(write_tree: WriteTree, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("policy0", "policy4")
    root = write_tree("".join(policy(f"{CPU}/cpufreq/{name}", 1800000, 600000) for name in names))
    off: set[str] = set()

    def read(path: Path, low: int, high: int, unit: str) -> int:
        if path.parent.name in off:
            raise UnreadableError(path, errno.EBUSY)  # no file of a test's own can answer so
        return read_int(path, low, high, unit)

    monkeypatch.setattr("tidegate_drivers.linux.cpufreq.read_int", read)
    frequency = discover(root).sensors[0]
    off.add("policy0")
    assert read_sensor(frequency).value == 600e6
    found = discover(root)
    assert (found.sensors[0].name, found.sensors[0].provenance) == ("frequency/policy4", Provenance.MEASURED)
    assert found.unavailable == ()
    off.add("policy4")
    assert "switched off" in read_sensor(frequency).reason
