"""RK3588: the NPU's load in both spellings of the vendor's driver."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.boards.rk3588 import discover, read_npu_percent
from tidegate_drivers.sensor import SensorError

WriteTree = Callable[[str], Path]

LOAD = "sys/kernel/debug/rknpu/load"


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("NPU load:  Core0: 30%, Core1: 60%, Core2:  0%,", 30.0),
        ("NPU load:  7%", 7.0),
        ("NPU load:  Core0:  0%, Core1:  0%, Core2:  0%,", 0.0),
    ],
)
def test_load(write_tree: WriteTree, text: str, percent: float) -> None:
    assert read_npu_percent(write_tree(f"{LOAD}: {text}") / LOAD) == percent


@pytest.mark.parametrize("text", ["", "NPU load: busy", "NPU load:  Core0: 130%,", "%"])
def test_nonsense_is_no_load(write_tree: WriteTree, text: str) -> None:
    with pytest.raises(SensorError):
        read_npu_percent(write_tree(f"{LOAD}: {text}") / LOAD)


def test_power_is_refused_and_other_boards_left_alone(write_tree: WriteTree) -> None:
    root = write_tree("sys/firmware/devicetree/base/compatible: radxa,rock-5b\\nrockchip,rk3588")
    assert {missing.name for missing in discover(root).unavailable} == {"power", "npu"}
    found = discover(write_tree("sys/firmware/devicetree/base/compatible: radxa,rockpi4b\\nrockchip,rk3399"))
    assert (found.sensors, found.unavailable) == ((), ())


def test_chips_with_the_same_npu_driver_are_read(write_tree: WriteTree) -> None:
    root = write_tree("sys/firmware/devicetree/base/compatible: armsom,sige5\\nrockchip,rk3576")
    assert (discover(root).sensors, discover(root).unavailable) == ((), ())
    (sensor,) = discover(write_tree(f"{LOAD}: NPU load:  Core0: 12%, Core1:  4%,")).sensors
    assert sensor.read() == 8.0
