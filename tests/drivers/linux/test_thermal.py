"""Thermal zones from trees with the oddities of real machines."""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.linux.thermal import discover
from drivers.reading import Provenance, Value
from drivers.sensor import SensorError

WriteTree = Callable[[str], Path]

CLASS = "sys/class/thermal"

BOARD = f"""
    {CLASS}/thermal_zone0/type: soc-thermal
    {CLASS}/thermal_zone0/temp: 51500
    {CLASS}/thermal_zone0/trip_point_0_type: active
    {CLASS}/thermal_zone0/trip_point_0_temp: 60000
    {CLASS}/thermal_zone0/trip_point_1_type: passive
    {CLASS}/thermal_zone0/trip_point_1_temp: 75000
    {CLASS}/thermal_zone0/trip_point_2_type: critical
    {CLASS}/thermal_zone0/trip_point_2_temp: 95000
    {CLASS}/thermal_zone1/type: gpu-thermal
    {CLASS}/thermal_zone1/temp: 49000
    {CLASS}/cooling_device0/type: Processor
    {CLASS}/cooling_device0/cur_state: -1
"""


def read(root: Path, name: str) -> Value:
    return {sensor.name: sensor for sensor in discover(root).sensors}[name].read()


def test_hottest_zone_and_each_by_its_type(write_tree: WriteTree) -> None:
    root = write_tree(BOARD)
    assert read(root, "temperature") == 51.5
    assert read(root, "temperature/gpu-thermal") == 49.0


def test_zones_of_one_type_are_one_reading(write_tree: WriteTree) -> None:
    root = write_tree(BOARD + f"{CLASS}/thermal_zone7/type: gpu-thermal\n    {CLASS}/thermal_zone7/temp: 50000")
    assert read(root, "temperature/gpu-thermal") == 50.0


@pytest.mark.parametrize("nonsense", ["-44000", "-256000", "-274000", "2147483647", "65261800"])
def test_impossible_temperatures_are_left_out(write_tree: WriteTree, nonsense: str) -> None:
    root = write_tree(BOARD + f"{CLASS}/thermal_zone0/temp: {nonsense}")
    assert read(root, "temperature") == 49.0
    with pytest.raises(SensorError, match=nonsense):
        read(root, "temperature/soc-thermal")


def test_no_plausible_zone_gives_every_reason(write_tree: WriteTree) -> None:
    root = write_tree(BOARD + f"{CLASS}/thermal_zone0/temp: -44000\n    {CLASS}/thermal_zone1/temp: off")
    with pytest.raises(SensorError, match=r"soc-thermal: .*-44000.*gpu-thermal: .*'off'"):
        read(root, "temperature")


def test_frost_is_a_temperature(write_tree: WriteTree) -> None:
    root = write_tree(f"{CLASS}/thermal_zone0/type: box\n    {CLASS}/thermal_zone0/temp: -12500")
    assert read(root, "temperature") == -12.5


@pytest.mark.skipif(platform.system() != "Linux", reason="a real EIO comes from /proc/self/mem")
def test_the_hottest_zone_failing_does_not_cool_the_machine(write_tree: WriteTree) -> None:
    root = write_tree(BOARD)
    temperature = next(sensor for sensor in discover(root).sensors if sensor.name == "temperature")
    assert temperature.read() == 51.5
    file = root / CLASS / "thermal_zone0/temp"
    file.unlink()
    file.symlink_to("/proc/self/mem")  # a real EIO
    with pytest.raises(SensorError, match="soc-thermal may be the hottest zone"):
        temperature.read()
    file.unlink()
    assert temperature.read() == 49.0  # the zone is gone, not failing
    write_tree(BOARD)
    assert temperature.read() == 51.5


@pytest.mark.skipif(platform.system() != "Linux", reason="a real EIO comes from /proc/self/mem")
def test_a_zone_that_never_worked_does_not_take_the_others_down(write_tree: WriteTree) -> None:
    root = write_tree(BOARD)
    file = root / CLASS / "thermal_zone1/temp"
    file.unlink()
    file.symlink_to("/proc/self/mem")
    assert read(root, "temperature") == 51.5


def test_zone_of_a_mouse_battery_is_not_the_machines(write_tree: WriteTree) -> None:
    root = write_tree(
        BOARD
        + f"""
        {CLASS}/thermal_zone8/type: hidpp_battery_0
        {CLASS}/thermal_zone8/temp: 90000
        sys/class/power_supply/hidpp_battery_0/type: Battery
        sys/class/power_supply/hidpp_battery_0/scope: Device
        """
    )
    assert read(root, "temperature") == 51.5


def test_zone_without_type_is_left_out(write_tree: WriteTree) -> None:
    assert read(write_tree(BOARD + f"{CLASS}/thermal_zone3/temp: 90000"), "temperature") == 51.5


@pytest.mark.parametrize(
    ("millidegrees", "pressure"),
    [(59_999, "nominal"), (60_000, "fair"), (75_000, "serious"), (94_999, "serious"), (95_000, "critical")],
)
def test_pressure_is_the_worst_trip_point_reached(write_tree: WriteTree, millidegrees: int, pressure: str) -> None:
    root = write_tree(BOARD + f"{CLASS}/thermal_zone0/temp: {millidegrees}")
    sensor = next(sensor for sensor in discover(root).sensors if sensor.name == "thermal_pressure")
    assert sensor.read() == pressure
    assert sensor.provenance is Provenance.ESTIMATED


@pytest.mark.parametrize("switched_off", ["0", "-274000", "-1"])
def test_pressure_is_refused_where_no_trip_says_when_throttling_begins(
    write_tree: WriteTree, switched_off: str
) -> None:
    found = discover(write_tree(BOARD + f"{CLASS}/thermal_zone0/trip_point_1_temp: {switched_off}"))
    assert [refusal.name for refusal in found.refusals] == ["thermal_pressure"]
    assert "soc-thermal has a passive trip point" in found.refusals[0].reason


def test_no_zone_is_refused(write_tree: WriteTree) -> None:
    found = discover(write_tree(f"{CLASS}/cooling_device0/type: Processor"))
    assert {refusal.name for refusal in found.refusals} == {"temperature", "thermal_pressure"}


def test_processor_sensor_without_a_zone_counts(write_tree: WriteTree) -> None:
    hwmon = "sys/class/hwmon/hwmon0"
    root = write_tree(f"{hwmon}/name: k10temp\n{hwmon}/temp1_label: Tctl\n{hwmon}/temp1_input: 88000")
    assert read(root, "temperature") == 88.0
    write_tree(BOARD + f"{hwmon}/name: nvme")
    assert read(root, "temperature") == 51.5


def test_zone_that_fails_from_the_start_makes_the_hottest_partial(write_tree: WriteTree) -> None:
    root = write_tree(BOARD)
    file = root / CLASS / "thermal_zone0/temp"
    file.unlink()
    file.symlink_to("/proc/self/mem")
    found = discover(root)
    assert found.sensors[0].provenance is Provenance.MEASURED_PARTIAL
    assert "soc-thermal" in found.refusals[0].reason
    # Looked at again when the zone has come to itself, it is whole.
    file.unlink()
    write_tree(BOARD)
    assert found.again is not None
    assert found.again().sensors[0].provenance is Provenance.MEASURED


@pytest.mark.parametrize("nothing", ["0", "35", "150"])
def test_zero_and_whole_degrees_are_no_temperature_until_the_zone_is_known(
    write_tree: WriteTree, nothing: str
) -> None:
    root = write_tree(f"{CLASS}/thermal_zone0/type: box\n{CLASS}/thermal_zone0/temp: {nothing}")
    with pytest.raises(SensorError, match="measure nothing"):
        read(root, "temperature")
    sensor = discover(write_tree(f"{CLASS}/thermal_zone0/temp: 3000")).sensors[0]
    assert sensor.read() == 3.0
    write_tree(f"{CLASS}/thermal_zone0/temp: 0")
    assert sensor.read() == 0.0


def test_soc_is_a_temperature_unless_it_is_a_charge_in_percent(write_tree: WriteTree) -> None:
    root = write_tree(BOARD + f"{CLASS}/thermal_zone9/type: soc\n{CLASS}/thermal_zone9/temp: 100")
    assert read(root, "temperature") == 51.5
    assert read(write_tree(f"{CLASS}/thermal_zone9/temp: 64700"), "temperature") == 64.7


@pytest.mark.parametrize("kind", ["PMIC-Die", "INT3400 Thermal", "vbat", "pm6150-ibat-lvl0", "bcl-lvl1"])
def test_zone_that_is_no_temperature_is_left_out(write_tree: WriteTree, kind: str) -> None:
    root = write_tree(BOARD + f"{CLASS}/thermal_zone9/type: {kind}\n{CLASS}/thermal_zone9/temp: 100000")
    assert read(root, "temperature") == 51.5


def test_notices_of_x86_pkg_temp_are_no_throttling(write_tree: WriteTree) -> None:
    found = discover(write_tree(BOARD + f"{CLASS}/thermal_zone0/type: x86_pkg_temp"))
    assert "no zone" in next(each.reason for each in found.refusals if each.name == "thermal_pressure")
