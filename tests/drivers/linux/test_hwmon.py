"""hwmon chips: names, labels, faults and channels that measure nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.clocks import Clocks
from tidegate_drivers.linux.counter_power import CounterPower
from tidegate_drivers.linux.hwmon import discover
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Reading, Value
from tidegate_drivers.sensor import SensorError

WriteTree = Callable[[str], Path]

CHIP = "sys/class/hwmon/hwmon3"


def values(root: Path) -> dict[str, Value | None]:
    return {sensor.name: read_sensor(sensor).value for sensor in discover(root).sensors}


def test_units_and_labels(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {CHIP}/name: amdgpu
        {CHIP}/temp1_label: edge
        {CHIP}/temp1_input: -12500
        {CHIP}/temp1_crit: 65261800
        {CHIP}/in0_label: vddgfx
        {CHIP}/in0_input: 812
        {CHIP}/power1_label: PPT
        {CHIP}/power1_average: 23000000
        {CHIP}/curr1_input: -1500
        {CHIP}/fan1_input: 0
        """
    )
    assert values(root) == {
        "temperature/amdgpu/edge": -12.5,
        "voltage/amdgpu/vddgfx": pytest.approx(0.812),
        "power/amdgpu/PPT": 23.0,
        "current/amdgpu/curr1": -1.5,
        "fan/amdgpu/fan1": 0.0,
    }


def test_input_goes_before_average(write_tree: WriteTree) -> None:
    root = write_tree(f"{CHIP}/name: x\n{CHIP}/power1_average: 1000000\n{CHIP}/power1_input: 2000000")
    assert values(root) == {"power/x/power1": 2.0}


@pytest.mark.parametrize("line", ["temp1_fault: 1", "temp1_enable: 0", "temp1_input: 0", "temp1_input: 45"])
@pytest.mark.parametrize("nonsense", ["", "temp1_input: 255000", "temp1_input: -128000"])
def test_channel_that_measures_nothing_is_unavailable(write_tree: WriteTree, line: str, nonsense: str) -> None:
    root = write_tree(f"{CHIP}/name: x\n{CHIP}/temp1_input: 45000\n{CHIP}/{line}\n")
    if nonsense:
        write_tree(f"{CHIP}/{nonsense}")
    (sensor,) = discover(root).sensors
    with pytest.raises(SensorError):
        sensor.read()


def test_chips_of_one_name_are_told_apart_by_their_device(write_tree: WriteTree) -> None:
    root = write_tree(
        """
        sys/class/hwmon/hwmon0/name: nvme
        sys/class/hwmon/hwmon0/temp1_input: 40000
        sys/class/hwmon/hwmon1/name: nvme
        sys/class/hwmon/hwmon1/temp1_input: 50000
        sys/devices/nvme0/
        sys/devices/nvme1/
        """
    )
    for number in (0, 1):
        (root / f"sys/class/hwmon/hwmon{number}/device").symlink_to(f"../../../devices/nvme{1 - number}")
    assert values(root) == {"temperature/nvme@nvme1/temp1": 40.0, "temperature/nvme@nvme0/temp1": 50.0}


def test_labels_that_repeat_are_told_apart(write_tree: WriteTree) -> None:
    lines = [f"{CHIP}/temp{n}_label: die\n{CHIP}/temp{n}_input: {n}0000" for n in (4, 5)]
    root = write_tree(f"{CHIP}/name: x\n" + "\n".join(lines))
    assert values(root) == {"temperature/x/die temp4": 40.0, "temperature/x/die temp5": 50.0}


def test_attributes_in_the_parent_device_of_old_kernels(write_tree: WriteTree) -> None:
    root = write_tree(f"{CHIP}/device/name: lm75\n{CHIP}/device/temp1_input: 31000")
    assert values(root) == {"temperature/lm75/temp1": 31.0}


def test_two_meters_of_the_machine_are_no_total(write_tree: WriteTree) -> None:
    other = "sys/class/hwmon/hwmon4"
    tree = "\n".join(f"{chip}/name: power_meter\n{chip}/power1_average: 213000000" for chip in (CHIP, other))
    found = discover(write_tree(tree))
    assert "power" not in {sensor.name for sensor in found.sensors}
    assert [missing.name for missing in found.unavailable] == ["power"]


def test_total_of_a_macs_controller_is_the_machines_power(write_tree: WriteTree) -> None:
    root = write_tree(
        f"{CHIP}/name: macsmc_hwmon\n{CHIP}/power1_label: Total System Power\n{CHIP}/power1_input: 6100000"
    )
    assert values(root)["power"] == 6.1


@pytest.mark.parametrize("watts", ["213000000", "0"])
def test_power_meter_of_a_server_is_the_machines_power(write_tree: WriteTree, watts: str) -> None:
    root = write_tree(f"{CHIP}/name: power_meter\n{CHIP}/power1_average: {watts}")
    power = next(sensor for sensor in discover(root).sensors if sensor.name == "power")
    if watts == "0":
        with pytest.raises(SensorError, match="0 W"):
            power.read()
    else:
        assert power.read() == 213.0


def test_channel_without_a_name_costs_only_itself(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {CHIP}/name: cros_ec
        {CHIP}/temp1_label:
        {CHIP}/temp1_input: 61000
        {CHIP}/fan1_input: 1200
        """
    )
    assert values(root) == {"fan/cros_ec/fan1": 1200.0}
    assert "temp1_label" in discover(root).unavailable[0].reason


def test_tctl_is_left_out_when_another_may_be_tdie(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {CHIP}/name: k10temp
        {CHIP}/temp1_label: Tctl
        {CHIP}/temp1_input: 88000
        {CHIP}/temp2_label:
        {CHIP}/temp2_input: 61000
        """
    )
    assert values(root) == {}


def test_voltage_over_a_shunt_is_no_voltage_of_a_rail(write_tree: WriteTree) -> None:
    root = write_tree(f"{CHIP}/name: ina238\n{CHIP}/in0_input: 1\n{CHIP}/in1_label: VIN\n{CHIP}/in1_input: 19980")
    assert values(root) == {"voltage/ina238/VIN": 19.98}


@pytest.mark.parametrize(
    ("name", "constant"),
    [("pm8550_thermal", 37000), ("w1_slave_temp", 85000), ("lm90", 127875), ("nct6775", 127000)],
)
def test_constant_of_a_driver_is_no_temperature(write_tree: WriteTree, name: str, constant: int) -> None:
    root = write_tree(f"{CHIP}/name: {name}\n{CHIP}/temp1_label: CPU\n{CHIP}/temp1_input: {constant}")
    (sensor,) = discover(root).sensors
    with pytest.raises(SensorError, match=str(constant)):
        sensor.read()
    write_tree(f"{CHIP}/temp1_input: {constant - 1000}")
    assert sensor.read() == (constant - 1000) / 1000


GPU = "sys/class/hwmon/hwmon7"


def test_energy_counters_and_the_power_of_their_rise(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {GPU}/name: i915
        {GPU}/energy1_input: 5000000
        {GPU}/power1_max: 45000000
        """
    )
    now = [0.0]
    counters = {f"{root / GPU}/energy1": CounterPower(lambda: Clocks(now[0], now[0]))}

    def read() -> dict[str, Reading]:
        return {sensor.name: read_sensor(sensor) for sensor in discover(root, counters).sensors}

    assert read()["energy_counter/i915/energy1"].value == 5.0
    now[0] = 4.0
    write_tree(f"{GPU}/energy1_input: 65000000")
    assert read()["power/i915/energy1"].value == pytest.approx(15.0)
    now[0] = 5.0
    assert "does not move" in read()["power/i915/energy1"].reason
    write_tree(f"{GPU}/energy1_input: 10")  # the card was reset
    now[0] = 6.0
    assert read()["power/i915/energy1"].value is None
    assert "power" not in read()


def test_counter_beside_a_meter_and_one_that_counts_nothing(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {GPU}/name: ina228
        {GPU}/power1_input: 3100000
        {GPU}/energy1_input: 5000000
        sys/class/hwmon/hwmon8/name: amd_energy
        sys/class/hwmon/hwmon8/energy1_label: Ecore000
        sys/class/hwmon/hwmon8/energy1_input: 7000000
        sys/class/hwmon/hwmon8/energy2_label: Esocket0
        sys/class/hwmon/hwmon8/energy2_input: 0
        """
    )
    readings = {sensor.name: read_sensor(sensor) for sensor in discover(root).sensors}
    assert {name: reading.value for name, reading in readings.items()} == {
        "power/ina228/power1": pytest.approx(3.1),
        "energy_counter/ina228/energy1": 5.0,
        "energy_counter/amd_energy/Esocket0": None,
        "power/amd_energy/Esocket0": None,
    }


@pytest.mark.parametrize(("status", "joules"), [("suspended", None), ("active", 5.0), ("", 5.0)])
def test_card_that_is_suspended_is_not_woken(write_tree: WriteTree, status: str, joules: float | None) -> None:
    root = write_tree(f"{GPU}/name: xe\n{GPU}/energy1_input: 5000000\n{GPU}/device/power/runtime_status: {status}")
    sensors = {sensor.name: sensor for sensor in discover(root).sensors}
    reading = read_sensor(sensors["energy_counter/xe/energy1"])
    assert reading.value == joules
    assert joules is not None or "is not woken" in reading.reason
    assert {sensor.interval_s for sensor in sensors.values()} == {30.0}
