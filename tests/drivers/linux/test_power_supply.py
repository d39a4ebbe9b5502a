"""Batteries and chargers from trees written after the kernel's ABI and the habits of real drivers."""

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.linux.power_supply import discover
from drivers.reading import Value
from drivers.sensor import SensorError

WriteTree = Callable[[str], Path]

CLASS = "sys/class/power_supply"

LAPTOP_ON_BATTERY = f"""
    {CLASS}/AC/type: Mains
    {CLASS}/AC/online: 0
    {CLASS}/BAT0/type: Battery
    {CLASS}/BAT0/scope: System
    {CLASS}/BAT0/status: Discharging
    {CLASS}/BAT0/present: 1
    {CLASS}/BAT0/capacity: 41
    {CLASS}/BAT0/energy_now: 20500000
    {CLASS}/BAT0/energy_full: 50000000
    {CLASS}/BAT0/power_now: 9800000
"""

MOUSE = f"""
    {CLASS}/hidpp_battery_0/type: Battery
    {CLASS}/hidpp_battery_0/scope: Device
    {CLASS}/hidpp_battery_0/status: Discharging
    {CLASS}/hidpp_battery_0/capacity: 5
"""

SECOND_BATTERY = f"""
    {CLASS}/BAT1/type: Battery
    {CLASS}/BAT1/status: Not charging
    {CLASS}/BAT1/capacity: 100
    {CLASS}/BAT1/energy_now: 10000000
    {CLASS}/BAT1/energy_full: 10000000
    {CLASS}/BAT1/power_now: 0
"""


def read(root: Path, name: str) -> Value:
    sensors = {sensor.name: sensor for sensor in discover(root).sensors}
    return sensors[name].read()


def test_laptop_on_battery(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY)
    assert read(root, "battery") == 41.0
    assert read(root, "power_source") == "battery"
    assert read(root, "power") == pytest.approx(9.8)
    assert read(root, "power/BAT0") == pytest.approx(9.8)
    assert discover(root).refusals == ()


def test_a_mouse_is_not_the_machine(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + MOUSE)
    assert read(root, "battery") == 41.0
    assert not [sensor for sensor in discover(root).sensors if "hidpp" in sensor.name + sensor.source]


def test_only_a_mouse_is_refused_by_name(write_tree: WriteTree) -> None:
    found = discover(write_tree(MOUSE))
    assert found.sensors == ()
    assert {refusal.name for refusal in found.refusals} == {"battery", "power_source", "power"}
    assert "hidpp_battery_0 (Battery of a peripheral, by its scope or name)" in found.refusals[0].reason


def test_several_batteries_are_summed_by_energy(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + SECOND_BATTERY)
    assert read(root, "battery") == pytest.approx(100 * 30.5 / 60)  # the mean of the percentages would be 70.5
    assert read(root, "power") == pytest.approx(9.8)


def test_charge_counts_as_energy_through_its_voltage(write_tree: WriteTree) -> None:
    root = write_tree(
        LAPTOP_ON_BATTERY
        + f"""
        {CLASS}/BAT1/type: Battery
        {CLASS}/BAT1/status: Discharging
        {CLASS}/BAT1/charge_now: 1000000
        {CLASS}/BAT1/charge_full: 1000000
        {CLASS}/BAT1/voltage_min_design: 10000000
        """
    )
    assert read(root, "battery") == pytest.approx(100 * 30.5 / 60)


def test_batteries_of_unknown_size_are_never_averaged(write_tree: WriteTree) -> None:
    root = write_tree(
        LAPTOP_ON_BATTERY
        + f"""
        {CLASS}/BAT1/type: Battery
        {CLASS}/BAT1/capacity: 90
        """
    )
    with pytest.raises(SensorError, match="charge_full is not there"):
        read(root, "battery")


def test_a_swapped_out_battery_leaves_the_sum_and_comes_back(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + SECOND_BATTERY)
    battery = next(sensor for sensor in discover(root).sensors if sensor.name == "battery")
    shutil.rmtree(root / CLASS / "BAT1")
    assert battery.read() == 41.0
    shutil.rmtree(root / CLASS / "BAT0")
    with pytest.raises(SensorError, match="the battery is gone"):
        battery.read()
    write_tree(LAPTOP_ON_BATTERY)
    assert battery.read() == 41.0


@pytest.mark.skipif(platform.system() != "Linux", reason="a real EIO comes from /proc/self/mem")
def test_a_battery_that_fails_does_not_silently_leave_the_sum(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + SECOND_BATTERY)
    battery = next(sensor for sensor in discover(root).sensors if sensor.name == "battery")
    kind = root / CLASS / "BAT1/type"
    kind.unlink()
    kind.symlink_to("/proc/self/mem")  # reading it gives a real EIO
    with pytest.raises(SensorError, match="BAT1/type failed"):
        battery.read()


def test_an_empty_bay_is_not_an_empty_battery(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/present: 0\n    {CLASS}/BAT0/capacity: 0")
    with pytest.raises(SensorError, match="bay is empty"):
        read(root, "battery")


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(("status", "direction"), [("Discharging", 1), ("Charging", -1)])
def test_direction_comes_from_status_and_never_from_the_sign(
    write_tree: WriteTree, sign: str, status: str, direction: int
) -> None:
    root = write_tree(
        LAPTOP_ON_BATTERY
        + f"""
        {CLASS}/BAT0/status: {status}
        {CLASS}/BAT0/power_now: {sign}9800000
        """
    )
    assert read(root, "power/BAT0") == pytest.approx(direction * 9.8)


def test_flow_without_a_direction_is_unavailable(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/status: Unknown")
    with pytest.raises(SensorError, match="leaves the direction open"):
        read(root, "power/BAT0")


def test_current_times_voltage_where_there_is_no_power(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {CLASS}/BAT0/type: Battery
        {CLASS}/BAT0/status: Discharging
        {CLASS}/BAT0/current_now: -898000
        {CLASS}/BAT0/voltage_now: 11800000
        """
    )
    assert read(root, "power") == pytest.approx(0.898 * 11.8)


def test_voltage_that_only_uevent_has(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {CLASS}/BAT0/type: Battery
        {CLASS}/BAT0/status: Discharging
        {CLASS}/BAT0/current_now: 898000
        {CLASS}/BAT0/uevent: POWER_SUPPLY_NAME=BAT0\\nPOWER_SUPPLY_VOLTAGE_NOW=11800000
        """
    )
    assert read(root, "power") == pytest.approx(0.898 * 11.8)


@pytest.mark.parametrize(
    ("current", "voltage", "says"),
    [("898", "11800000", "898 uA, too little"), ("898000", "11800", "11800 uV"), ("898000", "0", "0 uV")],
)
def test_thousandfold_errors_are_unavailable_and_never_small_watts(
    write_tree: WriteTree, current: str, voltage: str, says: str
) -> None:
    root = write_tree(
        f"""
        {CLASS}/BAT0/type: Battery
        {CLASS}/BAT0/status: Discharging
        {CLASS}/BAT0/current_now: {current}
        {CLASS}/BAT0/voltage_now: {voltage}
        """
    )
    for name in ("power", "power/BAT0"):
        with pytest.raises(SensorError, match=says):
            read(root, name)


def test_milliwatts_in_power_now_fall_back_to_the_current(write_tree: WriteTree) -> None:
    root = write_tree(
        LAPTOP_ON_BATTERY
        + f"""
        {CLASS}/BAT0/power_now: 9800
        {CLASS}/BAT0/current_now: 898000
        {CLASS}/BAT0/voltage_now: 11800000
        """
    )
    assert read(root, "power") == pytest.approx(0.898 * 11.8)


def test_no_machine_runs_on_zero_watts(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/power_now: 0")
    for name in ("power", "power/BAT0"):
        with pytest.raises(SensorError, match=r"0 W|0\.000 W"):
            read(root, name)


@pytest.mark.parametrize("status", ["Charging", "Discharging"])
def test_on_external_power_the_draw_is_unknown(write_tree: WriteTree, status: str) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/AC/online: 1\n    {CLASS}/BAT0/status: {status}")
    assert read(root, "power_source") == "external"
    with pytest.raises(SensorError, match="on external power"):
        read(root, "power")


@pytest.mark.parametrize(
    ("status", "source"),
    [("Discharging", "battery"), ("Charging", "external"), ("Full", "external"), ("Not charging", "external")],
)
def test_battery_status_tells_the_source_where_no_charger_is_registered(
    write_tree: WriteTree, status: str, source: str
) -> None:
    root = write_tree(f"{CLASS}/BAT0/type: Battery\n    {CLASS}/BAT0/status: {status}")
    assert read(root, "power_source") == source


def test_unknown_status_and_no_charger_is_no_answer(write_tree: WriteTree) -> None:
    root = write_tree(f"{CLASS}/BAT0/type: Battery\n    {CLASS}/BAT0/status: Unknown")
    with pytest.raises(SensorError, match="can't tell the power source: battery status is Unknown"):
        read(root, "power_source")


def test_full_battery_just_after_the_plug_was_pulled(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/status: Full")
    assert read(root, "power_source") == "battery"


@pytest.mark.parametrize("name", ["ucsi-source-psy-USBC000:001", "tcpm_source_psy_2_0022"])
def test_negotiated_usb_contracts_are_not_power(write_tree: WriteTree, name: str) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/{name}/type: USB\n    {CLASS}/{name}/online: 1")
    assert read(root, "power_source") == "battery"


def test_charger_without_battery(write_tree: WriteTree) -> None:
    found = discover(write_tree(f"{CLASS}/AC/type: Mains\n    {CLASS}/AC/online: 1"))
    assert [sensor.name for sensor in found.sensors] == ["power_source"]
    assert found.sensors[0].read() == "external"
    assert {refusal.name for refusal in found.refusals} == {"battery", "power"}


@pytest.mark.parametrize("capacity", ["-1", "101", "255", "abc"])
def test_impossible_capacity_falls_back_to_energy(write_tree: WriteTree, capacity: str) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/capacity: {capacity}")
    assert read(root, "battery") == pytest.approx(41.0)


def test_a_little_over_full_is_full_and_much_over_is_unavailable(write_tree: WriteTree) -> None:
    tree = LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/capacity: 255\n    "
    assert read(write_tree(tree + f"{CLASS}/BAT0/energy_now: 51000000"), "battery") == 100.0
    root = write_tree(tree + f"{CLASS}/BAT0/energy_now: 90000000")
    with pytest.raises(SensorError, match="255"):
        read(root, "battery")


def test_busy_capacity_is_unavailable_with_words(write_tree: WriteTree) -> None:
    root = write_tree(f"{CLASS}/BAT0/type: Battery")
    os.mkfifo(root / CLASS / "BAT0/capacity")
    keeps_it_open = os.open(root / CLASS / "BAT0/capacity", os.O_RDWR)
    try:
        with pytest.raises(SensorError, match="is busy"):
            read(root, "battery")
    finally:
        os.close(keeps_it_open)


def test_battery_temperature_is_in_tenths(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/temp: 316")
    assert read(root, "temperature/BAT0") == pytest.approx(31.6)


def test_no_class_directory_and_an_empty_one(write_tree: WriteTree) -> None:
    root = write_tree("sys/")
    assert "is not there" in discover(root).refusals[0].reason
    write_tree(f"{CLASS}/")
    assert "knows no battery" in discover(root).refusals[0].reason


def test_ups_carries_a_machine_without_a_battery_of_its_own(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {CLASS}/ups/type: UPS
        {CLASS}/ups/status: Discharging
        {CLASS}/ups/capacity: 71
        {CLASS}/ups/online: 0
        """
    )
    assert (read(root, "battery"), read(root, "power_source")) == (71.0, "battery")
    assert "carries other devices" in next(each.reason for each in discover(root).refusals if each.name == "power")
    write_tree(f"{CLASS}/ups/status: Full\n    {CLASS}/ups/capacity: 100")
    assert (read(root, "battery"), read(root, "power_source")) == (100.0, "external")


def test_ups_is_the_mains_of_a_laptop(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/ups/type: UPS\n    {CLASS}/ups/status: Discharging")
    write_tree(f"{CLASS}/AC/online: 1")
    assert (read(root, "battery"), read(root, "power_source")) == (41.0, "external")


def test_output_of_a_power_bank_is_no_charger(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/ip5xxx-boost/type: USB\n    {CLASS}/ip5xxx-boost/online: 1")
    assert read(root, "power_source") == "battery"


def test_charging_battery_that_measures_no_current_has_no_power(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY)
    write_tree(f"{CLASS}/AC/online: 1\n    {CLASS}/BAT0/status: Charging\n    {CLASS}/BAT0/power_now: 0")
    with pytest.raises(SensorError, match="0 W while charging"):
        read(root, "power/BAT0")


def test_empty_bay_has_no_charge_whatever_it_still_says(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + SECOND_BATTERY + f"{CLASS}/BAT1/present: 0")
    assert read(root, "battery") == 41.0
    for name in ("battery/BAT1", "power/BAT1"):
        with pytest.raises(SensorError, match="BAT1 is an empty bay"):
            read(root, name)


@pytest.mark.parametrize("kind", ["USB_PD_DRP", "USB_HVDCP_3P5", "BMS", "BrickID", "Unknown", "Wireless", "UPS"])
def test_types_of_other_kernels_cost_no_reading(write_tree: WriteTree, kind: str) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/other/type: {kind}\n    {CLASS}/other/online: 0")
    assert (read(root, "battery"), read(root, "power_source")) == (41.0, "battery")
