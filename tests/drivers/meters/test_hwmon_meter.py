"""A hwmon channel as the machine's meter: by file, by label, as a product, and what is said when there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers import catalog
from tidegate_drivers.clocks import Clocks
from tidegate_drivers.linux.counter_power import CounterPower
from tidegate_drivers.meters import hwmon
from tidegate_drivers.meters.address import ChipMeter
from tidegate_drivers.meters.meter import discover
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Provenance
from tidegate_drivers.survey import read_all_once
from tidegate_drivers.testing import device_tree
from tidegate_drivers.testing.fault_mount import FaultMountError, mounted
from tidegate_drivers.testing.faults import KINDS

WriteTree = Callable[[str], Path]

A, B, C = (f"sys/class/hwmon/hwmon{number}" for number in range(3))
TREE = f"""
    {A}/name: ina219
    {A}/in0_input: 12
    {A}/in1_input: 12000
    {A}/curr1_input: 540
    {A}/power1_input: 6480000
    {B}/name: ina3221
    {B}/in1_label: VDD_IN
    {B}/in1_input: 5000
    {B}/curr1_input: 1500
    {B}/in2_label: Solar Panel
    {B}/in2_input: 18000
    {B}/curr2_input: -20
    {B}/in4_input: 15
    {C}/name: lm75
    {C}/temp1_input: 31000
"""


def power(root: Path, named: str) -> tuple[float | str | None, str]:
    found = discover(named, root)
    for sensor in found.sensors:
        assert (sensor.name, sensor.provenance) == ("power", Provenance.MEASURED)
        reading = read_sensor(sensor)
        return reading.value, reading.reason
    (missing,) = found.unavailable
    return None, missing.reason


@pytest.mark.parametrize(
    ("named", "watts"),
    [
        ("hwmon://ina219/power1", 6.48),
        ("hwmon://ina219/in1", 6.48),
        ("hwmon://ina219/curr1", 6.48),
        ("hwmon://ina219@hwmon0/power1", 6.48),
        ("hwmon://ina3221/VDD_IN", 7.5),
        ("hwmon://ina3221/in1", 7.5),
    ],
)
def test_names(write_tree: WriteTree, named: str, watts: float) -> None:
    assert power(write_tree(TREE), named) == (pytest.approx(watts), "")


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("hwmon://ina226/power1", "no chip is called ina226; there are ina219, ina3221, lm75"),
        ("hwmon://ina219@1-0044/power1", "no chip is called ina219@1-0044"),
        ("hwmon://ina219/power2", "it has in1 x curr1, power1"),
        ("hwmon://ina219/in0", "it has in1 x curr1, power1"),
        ("hwmon://ina3221/VDD_OUT", "in1 x curr1 (VDD_IN), in2 x curr2 (Solar Panel)"),
        ("hwmon://lm75/temp1", "nothing that is a power"),
        ("hwmon://ina3221/Solar%20Panel", "IN+ and IN- are swapped"),
    ],
)
def test_what_is_there_instead(write_tree: WriteTree, named: str, words: str) -> None:
    value, reason = power(write_tree(TREE), named)
    assert value is None
    assert words in reason


def test_two_chips_of_one_name_are_told_apart_by_their_device(write_tree: WriteTree) -> None:
    root = write_tree(TREE.replace("lm75", "ina219") + f"\n    {C}/power1_input: 2000000")
    for chip, device in ((A, "1-0040"), (C, "1-0041")):
        (root / device).mkdir()
        (root / chip / "device").symlink_to(root / device)
    assert "name one: ina219@1-0040, ina219@1-0041" in power(root, "hwmon://ina219/power1")[1]
    assert power(root, "hwmon://ina219@1-0041/power1")[0] == 2.0


def test_chip_that_comes_later_and_goes(write_tree: WriteTree) -> None:
    root = write_tree("proc/stat: cpu 1")
    found = discover("hwmon://ina219/power1", root)
    assert "hwmon is not there" in found.unavailable[0].reason
    assert found.again is not None
    write_tree(TREE)
    found = found.again()
    assert read_sensor(found.sensors[0]).value == pytest.approx(6.48)
    (root / A / "power1_input").write_text("0\n")
    assert "this machine runs" in read_sensor(found.sensors[0]).reason
    (root / A / "power1_input").unlink()
    assert "is not there" in read_sensor(found.sensors[0]).reason


def test_rise_of_an_energy_counter(write_tree: WriteTree) -> None:
    root = write_tree(f"{A}/name: xe\n{A}/energy1_label: card\n{A}/energy1_input: 1000000")
    now = [0.0]
    counter = CounterPower(lambda: Clocks(now[0], now[0]))
    (sensor,) = hwmon.discover(ChipMeter("xe", "card"), root, counter).sensors
    assert read_sensor(sensor).value is None
    now[0] = 2.0
    write_tree(f"{A}/energy1_input: 41000000")
    assert read_sensor(sensor).value == pytest.approx(20.0)


def test_meter_goes_before_all_others(write_tree: WriteTree) -> None:
    root = write_tree(
        TREE + "\n    sys/class/hwmon/hwmon5/name: power_meter\n    sys/class/hwmon/hwmon5/power1_average: 9"
    )
    reports = read_all_once(catalog.discover(root, meter="hwmon://ina219/power1"))
    powers = [report.readings["power"] for report in reports if "power" in report.readings]
    assert (powers[0].value, powers[0].source) == (pytest.approx(6.48), "meter/ina219/power1")


def test_files_that_fail_for_real() -> None:
    tree = device_tree.parse(TREE)
    try:
        with mounted(tree) as mount:
            healthy = discover("hwmon://ina3221/VDD_IN", mount.root)
            assert read_sensor(healthy.sensors[0]).value == pytest.approx(7.5)
            for file in ("name", "in1_label", "in1_input", "curr1_input"):
                for fault in (fault for faults in KINDS.values() for fault in faults):
                    mount.fault(f"{B}/{file}", fault)
                    for found in (healthy, discover("hwmon://ina3221/VDD_IN", mount.root)):
                        readings = [read_sensor(sensor) for sensor in found.sensors]
                        assert all(each.value in (None, pytest.approx(7.5)) for each in readings), (file, fault)
                        reasons = [each.reason for each in readings if each.value is None]
                        reasons += [missing.reason for missing in found.unavailable]
                        assert all(reasons), (file, fault)
                        assert "defect" not in "".join(reasons)
                    mount.heal()
    except FaultMountError as error:
        pytest.skip(f"NOT RUN: {error}")
