"""Jetson: which rail is the whole board, and what a missing one does to the sum."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.boards.jetson import discover
from tidegate_drivers.sensor import SensorError
from tidegate_drivers.testing import device_tree

WriteTree = Callable[[str], Path]

HWMON = "sys/class/hwmon"


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    device_tree.write(device_tree.load("jetson-agx-orin"), tmp_path)
    return tmp_path


def power(root: Path) -> float:
    value = next(sensor for sensor in discover(root).sensors if sensor.name == "power").read()
    assert isinstance(value, float)
    return value


def test_sum_without_one_rail_is_no_sum(orin: Path) -> None:
    assert power(orin) == 9.0
    found = discover(orin)
    (orin / HWMON / "hwmon3/curr2_input").unlink()
    with pytest.raises(SensorError, match="curr2_input"):
        next(sensor for sensor in found.sensors if sensor.name == "power").read()


def test_branch_of_a_rail_is_not_counted_again(orin: Path, write_tree: WriteTree) -> None:
    given = {sensor.name: sensor.read() for sensor in discover(orin).sensors}
    assert given["power"] == 9.0
    assert given["power/VDDQ_VDD2_1V8AO"] == 0.5
    # On a carrier that leaves the 5 V meter unconnected, the branch is all that is known of that input.
    write_tree(f"{HWMON}/hwmon3/in3_label: NC")
    assert power(orin) == 5.5


def test_rails_that_hang_on_the_inputs_each_for_itself_are_all_summed(write_tree: WriteTree) -> None:
    rails = {"GPU": 300, "CPU": 600, "SOC": 1000, "CV": 0, "VDDRQ": 200, "SYS5V": 1700}
    lines = ["proc/device-tree/compatible: nvidia,p2972-0000\\nnvidia,tegra194"]
    for index, (name, milliwatts) in enumerate(rails.items()):
        chip, number = f"sys/class/hwmon/hwmon{index // 3}", index % 3 + 1
        lines += [f"{chip}/name: ina3221", f"{chip}/in{number}_label: {name}", f"{chip}/in{number}_input: 1000"]
        lines += [f"{chip}/curr{number}_input: {milliwatts}"]
    assert power(write_tree("\n".join(lines))) == pytest.approx(3.8)


def test_modules_input_goes_before_the_carriers(write_tree: WriteTree) -> None:
    rails = {"VDD_MUX": 9000, "VDD_5V0_IO_SYS": 1500, "VDD_IN": 6000}
    lines = ["proc/device-tree/compatible: nvidia,p2771-0000\\nnvidia,tegra186"]
    for number, (name, milliwatts) in enumerate(rails.items()):
        device = "sys/bus/i2c/drivers/ina3221x/0-0041/iio_device"
        lines += [f"{device}/rail_name_{number}: {name}", f"{device}/in_power{number}_input: {milliwatts}"]
    assert power(write_tree("\n".join(lines))) == 6.0


def test_chip_that_can_not_be_told_refuses_the_sum(orin: Path, write_tree: WriteTree) -> None:
    write_tree(f"{HWMON}/hwmon4/name: a\\nb")
    (missing,) = discover(orin).unavailable
    assert missing.name == "power"


def test_chip_that_can_not_be_told_does_not_matter_beside_the_input(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        proc/device-tree/compatible: nvidia,p3767-0000\\nnvidia,tegra234
        {HWMON}/hwmon0/name: a\\nb
        {HWMON}/hwmon1/name: ina3221
        {HWMON}/hwmon1/in1_label: VDD_IN
        {HWMON}/hwmon1/in1_input: 5000
        {HWMON}/hwmon1/curr1_input: 1000
        """
    )
    assert power(root) == 5.0


def test_rails_without_a_device_tree_are_known_by_name(write_tree: WriteTree) -> None:
    tree = f"""
        {HWMON}/hwmon0/name: ina3221
        {HWMON}/hwmon0/in1_label: VDD_IN
        {HWMON}/hwmon0/in1_input: 5000
        {HWMON}/hwmon0/curr1_input: 1000
    """
    assert power(write_tree(tree)) == 5.0
    found = discover(write_tree(f"{HWMON}/hwmon0/in1_label: solar"))
    assert (found.sensors, found.unavailable) == ((), ())


def test_chips_below_their_driver_alone_are_found(write_tree: WriteTree) -> None:
    chip = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    root = write_tree(
        f"{chip}/name: ina3221\n{chip}/in1_label: VDD_IN\n{chip}/in1_input: 5000\n{chip}/curr1_input: 900"
    )
    assert power(root) == 4.5


def test_xavier_with_jetpack_4_sums_its_rails(write_tree: WriteTree) -> None:
    device = "sys/bus/i2c/drivers/ina3221x/1-0040/iio_device"
    root = write_tree(
        f"""
        {device}/rail_name_0: GPU
        {device}/in_power0_input: 1200
        {device}/rail_name_1: CPU
        {device}/in_power1_input: 800
        """
    )
    assert power(root) == 2.0


def test_idle_rail_may_read_a_little_below_zero_and_no_more(orin: Path, write_tree: WriteTree) -> None:
    write_tree(f"{HWMON}/hwmon3/curr2_input: -8")
    assert power(orin) == pytest.approx(7.84)
    write_tree(f"{HWMON}/hwmon3/curr2_input: -800")
    with pytest.raises(SensorError, match="-800 mA"):
        power(orin)


def test_other_boards_are_left_alone(write_tree: WriteTree) -> None:
    found = discover(write_tree("proc/device-tree/compatible: raspberrypi,4-model-b"))
    assert (found.sensors, found.unavailable) == ((), ())


def test_board_without_a_meter_says_so(write_tree: WriteTree) -> None:
    (missing,) = discover(write_tree("proc/device-tree/compatible: nvidia,tegra194")).unavailable
    assert "no INA3221" in missing.reason
