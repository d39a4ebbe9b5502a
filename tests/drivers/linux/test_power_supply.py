"""Batteries and chargers from trees written after the kernel's ABI and the habits of real drivers."""

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.linux.power_supply import discover
from tidegate_drivers.reading import BATTERY_STATES, Provenance, Unit, Value
from tidegate_drivers.sensor import SensorError

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
    assert discover(root).unavailable == ()


def test_a_mouse_is_not_the_machine(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + MOUSE)
    assert read(root, "battery") == 41.0
    assert not [sensor for sensor in discover(root).sensors if "hidpp" in sensor.name + sensor.source]


def test_only_a_mouse_is_refused_by_name(write_tree: WriteTree) -> None:
    found = discover(write_tree(MOUSE))
    assert found.sensors == ()
    assert {missing.name for missing in found.unavailable} == {"battery", "power_source", "power"}
    assert "hidpp_battery_0 (Battery of a peripheral, by its scope or name)" in found.unavailable[0].reason


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
    with pytest.raises(SensorError, match="the direction is unknown"):
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
    assert {missing.name for missing in found.unavailable} == {"battery", "power"}


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
    assert "is not there" in discover(root).unavailable[0].reason
    write_tree(f"{CLASS}/")
    assert "knows no battery" in discover(root).unavailable[0].reason


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
    assert "supplies other devices" in next(
        each.reason for each in discover(root).unavailable if each.name == "power"
    )
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


@pytest.mark.parametrize(
    "kind", ["Nothing attached", "charge-pump", "bms", "USB PD adapter (15 W)", "4", "Bat_Virtual"]
)
def test_supply_of_a_strange_type_costs_no_reading(write_tree: WriteTree, kind: str) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/other/type: {kind}\n    {CLASS}/other/capacity: 7")
    assert (read(root, "battery"), read(root, "power_source")) == (41.0, "battery")
    assert read(root, "power") == pytest.approx(9.8)
    assert not [sensor for sensor in discover(root).sensors if "other" in sensor.name + sensor.source]


def test_strange_scope_leaves_it_to_the_name(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + MOUSE + f"{CLASS}/hidpp_battery_0/scope: Pointer")
    write_tree(f"{CLASS}/BAT0/scope: Main pack")
    assert (read(root, "battery"), read(root, "power_source")) == (41.0, "battery")


@pytest.mark.skipif(platform.system() != "Linux", reason="a real EIO comes from /proc/self/mem")
def test_supply_whose_type_fails_costs_only_what_it_may_be_a_part_of(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/pump/model_name: SMB1398")
    (root / CLASS / "pump/type").symlink_to("/proc/self/mem")
    # Neither a charge nor `online`: it can be no battery, and feed nothing.
    assert (read(root, "battery"), read(root, "power_source")) == (41.0, "battery")
    write_tree(f"{CLASS}/pump/online: 1\n{CLASS}/BAT0/status: Full")
    assert read(root, "battery") == 41.0
    with pytest.raises(SensorError, match="pump/type failed"):
        read(root, "power_source")
    write_tree(f"{CLASS}/pump/capacity: 60\n{CLASS}/AC/online: 1")
    assert (read(root, "battery/BAT0"), read(root, "power_source")) == (41.0, "external")
    with pytest.raises(SensorError, match="pump/type failed"):
        read(root, "battery")


@pytest.mark.parametrize(
    "name", ["test_battery", "fake-battery", "dummy_battery", "mock_battery.0", "rk-test-battery"]
)
def test_dummy_is_no_battery(write_tree: WriteTree, name: str) -> None:
    dummies = f"""
        {CLASS}/{name}/type: Battery
        {CLASS}/{name}/status: Discharging
        {CLASS}/{name}/capacity: 50
        {CLASS}/test_ac/type: Mains
        {CLASS}/test_ac/online: 1
    """
    found = discover(write_tree(dummies))
    assert found.sensors == ()
    assert f"{name} (Battery, a dummy" in found.unavailable[0].reason
    root = write_tree(LAPTOP_ON_BATTERY)
    assert (read(root, "battery"), read(root, "power_source")) == (41.0, "battery")


@pytest.mark.parametrize("unit", ["energy", "charge"])
@pytest.mark.parametrize(
    ("capacity", "now", "full", "design", "percent"),
    [
        (54, 27, 36, 50, 75.0),  # over what it held when new
        (53, 27, 36, 50, 75.0),  # the same, rounded down
        (77, 27, 36, 50, 77.0),  # smoothed
        (60, 27, 36, 50, 60.0),  # of no known kind: the gauge's word
        (48, 24, 48, 50, 48.0),  # hardly worn: rounded, as far as anybody can tell
        (100, 49, 52, 50, 100.0),  # better than new
        (66, 30, 45, 45, 66.0),
    ],
)
def test_capacity_over_design_is_told_from_a_gauge_that_smooths(
    write_tree: WriteTree, unit: str, capacity: int, now: int, full: int, design: int, percent: float
) -> None:
    tree = f"""
        {CLASS}/BAT0/type: Battery
        {CLASS}/BAT0/capacity: {capacity}
        {CLASS}/BAT0/{unit}_now: {now}00000
        {CLASS}/BAT0/{unit}_full: {full}00000
        {CLASS}/BAT0/{unit}_full_design: {design}00000
    """
    assert read(write_tree(tree), "battery") == pytest.approx(percent)


@pytest.mark.parametrize(("capacity", "percent"), [(101, 100.0), (110, 100.0), (111, None), (255, None)])
def test_gauge_may_pass_full_a_little(write_tree: WriteTree, capacity: int, percent: float | None) -> None:
    root = write_tree(f"{CLASS}/BAT0/type: Battery\n{CLASS}/BAT0/capacity: {capacity}")
    if percent is not None:
        assert read(root, "battery") == percent
        return
    with pytest.raises(SensorError, match=f"says {capacity} %"):
        read(root, "battery")


def test_reason_is_what_was_decisive(write_tree: WriteTree) -> None:
    root = write_tree(
        f"{CLASS}/BAT0/type: Battery\n{CLASS}/BAT0/energy_now: 48000000\n{CLASS}/BAT0/energy_full: 0"
    )
    with pytest.raises(SensorError, match="energy_full says 0 uWh") as no_full:
        read(root, "battery")
    assert "capacity" not in str(no_full.value)
    root = write_tree(f"{CLASS}/BAT1/type: Battery\n{CLASS}/BAT1/status: Full")
    with pytest.raises(SensorError, match=r"capacity is not there.*energy_full is not there.*charge_full is not"):
        read(root, "battery/BAT1")


@pytest.mark.parametrize("level", ["Critical", "Low", "Normal", "High", "Full"])
def test_level_is_a_reading_and_no_percentage(write_tree: WriteTree, level: str) -> None:
    root = write_tree(f"{CLASS}/battery/type: Battery\n{CLASS}/battery/capacity_level: {level}")
    with pytest.raises(SensorError, match=f"gives only a level: capacity_level is {level}"):
        read(root, "battery")
    assert read(root, "battery_level") == level.lower()


def test_level_that_tells_nothing_is_no_reading(write_tree: WriteTree) -> None:
    root = write_tree(f"{CLASS}/battery/type: Battery\n{CLASS}/battery/capacity_level: Normal")
    (level,) = [sensor for sensor in discover(root).sensors if sensor.name == "battery_level"]
    write_tree(f"{CLASS}/battery/capacity_level: Unknown")
    with pytest.raises(SensorError, match="'Unknown'; levels are Critical"):
        level.read()
    assert "battery_level" not in {sensor.name for sensor in discover(root).sensors}
    with pytest.raises(SensorError, match="capacity is not there") as no_charge:
        read(root, "battery")
    assert "in words" not in str(no_charge.value)


TRICKLE = f"""
    {CLASS}/BAT1/type: Battery
    {CLASS}/BAT1/energy_now: 22000000
    {CLASS}/BAT1/energy_full: 22000000
    {CLASS}/BAT1/power_now: 15000
    {CLASS}/BAT1/status:"""


@pytest.mark.parametrize("status", ["Full", "Not charging", "Unknown"])
def test_trickle_of_an_idle_pack_is_next_to_nothing(write_tree: WriteTree, status: str) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{TRICKLE} {status}")
    assert read(root, "power") == pytest.approx(9.8)
    write_tree(f"{CLASS}/BAT1/power_now: 2500000")
    with pytest.raises(SensorError, match="the direction is unknown"):
        read(root, "power")


def test_no_trickle_is_what_only_a_silent_file_calls_one(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{TRICKLE} Full")
    # power_now says 0 on such packs, whatever current flows.
    write_tree(f"{CLASS}/BAT1/power_now: 0\n{CLASS}/BAT1/current_now: 700000\n{CLASS}/BAT1/voltage_now: 12000000")
    with pytest.raises(SensorError, match=r"8\.4 W and status Full, so the direction is unknown"):
        read(root, "power")


def test_current_without_a_voltage_is_said_to_be_there(write_tree: WriteTree) -> None:
    root = write_tree(
        f"{CLASS}/BAT0/type: Battery\n{CLASS}/BAT0/status: Discharging\n{CLASS}/BAT0/current_now: 900000"
    )
    with pytest.raises(SensorError, match="gives current_now, and no voltage_now"):
        read(root, "power")


def test_unit_of_a_trickle_is_told_by_a_pack_of_the_same_driver(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{TRICKLE} Discharging")
    assert read(root, "power") == pytest.approx(9.815)
    write_tree(f"{CLASS}/BAT1/status: Charging")
    assert read(root, "power") == pytest.approx(9.785)
    write_tree(f"{CLASS}/BAT1/status: Discharging")
    # Both small: a driver in mW.
    write_tree(f"{CLASS}/BAT0/power_now: 9800")
    with pytest.raises(SensorError, match="9800 uW, too little"):
        read(root, "power")


@pytest.mark.parametrize("size", ["charge_full", "charge_full_design", "energy_full", "energy_full_design"])
def test_frugal_board_is_believed_by_the_size_of_its_battery(write_tree: WriteTree, size: str) -> None:
    tree = f"""
        {CLASS}/battery/type: Battery
        {CLASS}/battery/status: Discharging
        {CLASS}/battery/current_now: 9000
        {CLASS}/battery/voltage_now: 4000000
    """
    root = write_tree(tree)
    with pytest.raises(SensorError, match="9000 uA, too little"):
        read(root, "power")
    write_tree(f"{CLASS}/battery/{size}: 1200000")
    assert read(root, "power") == pytest.approx(0.036)


def test_size_of_a_battery_may_follow_from_its_charge(write_tree: WriteTree) -> None:
    tree = f"""
        {CLASS}/battery/type: Battery
        {CLASS}/battery/status: Discharging
        {CLASS}/battery/current_now: 9000
        {CLASS}/battery/voltage_now: 4000000
        {CLASS}/battery/capacity: 25
        {CLASS}/battery/charge_now: 300000
    """
    assert read(write_tree(tree), "power") == pytest.approx(0.036)
    # Next to empty, so that 900 mA would last an hour even in uA: the size counts, not what is left of it.
    root = write_tree(
        f"{CLASS}/battery/current_now: 900\n{CLASS}/battery/capacity: 1\n{CLASS}/battery/charge_now: 30000"
    )
    with pytest.raises(SensorError, match="900 uA, too little"):
        read(root, "power")


def pack(name: str, percent: int, size: str = "", status: str = "Discharging") -> str:
    return f"""
        {CLASS}/{name}/type: Battery
        {CLASS}/{name}/status: {status}
        {CLASS}/{name}/capacity: {percent}
        {f"{CLASS}/{name}/charge_full: {size}" if size else ""}
        {CLASS}/{name}/voltage_min_design: 10000000
    """


def test_pack_without_charge_now_holds_its_share_of_full(write_tree: WriteTree) -> None:
    root = write_tree(pack("BAT0", 90, "1000000") + pack("BAT1", 10, "3000000"))
    assert read(root, "battery") == pytest.approx(30.0)
    write_tree(f"{CLASS}/BAT0/capacity: 104")
    assert read(root, "battery") == pytest.approx(32.5)
    # One that fails is no pack without it.
    (root / CLASS / "BAT1/charge_now").mkdir()
    with pytest.raises(SensorError, match="BAT1/charge_now"):
        read(root, "battery")


def test_packs_that_say_the_same_need_no_size(write_tree: WriteTree) -> None:
    assert read(write_tree(pack("BAT0", 55) + pack("BAT1", 55)), "battery") == 55.0
    with pytest.raises(SensorError, match="charge_full is not there"):
        read(write_tree(pack("BAT0", 55) + pack("BAT1", 80)), "battery")


GAUGES = f"""
    {CLASS}/battery/type: Battery
    {CLASS}/battery/status: Discharging
    {CLASS}/battery/capacity: 63
    {CLASS}/battery/voltage_now: 3801000
    {CLASS}/battery/current_now: 412000
    {CLASS}/max170xx_battery/type: Battery
    {CLASS}/max170xx_battery/status: Discharging
    {CLASS}/max170xx_battery/capacity: 63
    {CLASS}/max170xx_battery/voltage_now: 3798000
    {CLASS}/max170xx_battery/current_now: -409000
"""


def test_two_gauges_of_one_pack_are_one_battery(write_tree: WriteTree) -> None:
    root = write_tree(GAUGES)
    assert read(root, "battery") == 63.0
    assert read(root, "power") == pytest.approx(0.412 * 3.801)
    # The gauge that knows what the pack holds goes before the other.
    write_tree(f"{CLASS}/max170xx_battery/charge_full: 3000000\n{CLASS}/max170xx_battery/capacity: 61")
    assert read(root, "battery") == 61.0
    assert read(root, "power") == pytest.approx(0.412 * 3.801)
    # And for the power the one that measures a current.
    write_tree(f"{CLASS}/battery/current_now: 0")
    assert read(root, "power") == pytest.approx(0.409 * 3.798)


@pytest.mark.parametrize("other", ["voltage_now: 4105000", "current_now: 120000"])
def test_batteries_that_measure_otherwise_are_two(write_tree: WriteTree, other: str) -> None:
    root = write_tree(GAUGES + f"{CLASS}/max170xx_battery/{other}")
    both = [read(root, f"power/{name}") for name in ("battery", "max170xx_battery")]
    assert read(root, "power") == pytest.approx(sum(float(watts) for watts in both))


def test_packs_of_one_driver_are_two_however_alike(write_tree: WriteTree) -> None:
    one = f"{CLASS}/BAT0/status: Discharging\n{CLASS}/BAT0/type: Battery\n{CLASS}/BAT0/power_now: 4000000\n"
    one += f"{CLASS}/BAT0/voltage_now: 12000000\n{CLASS}/BAT0/capacity: 50\n"
    assert read(write_tree(one + one.replace("BAT0", "BAT1")), "power") == pytest.approx(8.0)


def test_details_of_a_battery(write_tree: WriteTree) -> None:
    root = write_tree(
        LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/energy_full_design: 62500000\n    {CLASS}/BAT0/cycle_count: 312"
    )
    assert read(root, "battery_state") == "discharging"
    assert read(root, "battery_energy") == pytest.approx(20.5)
    assert read(root, "battery_health") == pytest.approx(80.0)
    assert read(root, "battery_cycles") == 312.0
    units = {sensor.name: sensor.unit for sensor in discover(root).sensors}
    assert (units["battery_energy"], units["battery_health"]) == (Unit.WATT_HOUR, Unit.PERCENT)
    assert not [name for name in units if name.startswith(("battery_health/", "battery_cycles/"))]


@pytest.mark.parametrize(
    ("unit", "provenance"), [("energy", Provenance.MEASURED), ("charge", Provenance.ESTIMATED)]
)
def test_energy_from_a_charge_is_estimated(write_tree: WriteTree, unit: str, provenance: Provenance) -> None:
    root = write_tree(
        f"""
        {CLASS}/BAT0/type: Battery
        {CLASS}/BAT0/{unit}_now: 2000000
        {CLASS}/BAT0/{unit}_full: 4000000
        {CLASS}/BAT0/voltage_min_design: 11000000
        """
    )
    (sensor,) = [sensor for sensor in discover(root).sensors if sensor.name == "battery_energy"]
    assert (sensor.read(), sensor.provenance) == (2.0 if unit == "energy" else 22.0, provenance)


def test_details_of_several_batteries_are_of_the_whole_and_of_each(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + SECOND_BATTERY)
    write_tree(f"{CLASS}/BAT0/energy_full_design: 50000000\n{CLASS}/BAT1/energy_full_design: 20000000")
    write_tree(f"{CLASS}/BAT0/cycle_count: 3\n{CLASS}/BAT1/cycle_count: 900")
    assert read(root, "battery_state") == "discharging"
    assert read(root, "battery_energy") == pytest.approx(30.5)
    assert read(root, "battery_health") == pytest.approx(100 * 60 / 70)
    assert (read(root, "battery_health/BAT0"), read(root, "battery_health/BAT1")) == (100.0, 50.0)
    assert (read(root, "battery_cycles/BAT0"), read(root, "battery_cycles/BAT1")) == (3.0, 900.0)


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        ("Discharging", "Not charging", "discharging"),
        ("Full", "Charging", "charging"),
        ("Full", "Full", "full"),
        ("Full", "Not charging", "not charging"),
        ("Full", "Unknown", None),
    ],
)
def test_state_of_all_batteries(write_tree: WriteTree, first: str, second: str, state: str | None) -> None:
    root = write_tree(pack("BAT0", 50, status=first) + pack("BAT1", 50, status=second))
    if state is not None:
        assert read(root, "battery_state") == state
        assert state in BATTERY_STATES
        return
    with pytest.raises(SensorError, match="battery status is Full, Unknown"):
        read(root, "battery_state")


def test_cycles_that_nobody_counts_are_no_reading(write_tree: WriteTree) -> None:
    root = write_tree(LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/cycle_count: 0")
    assert "battery_cycles" not in {sensor.name for sensor in discover(root).sensors}


def test_details_that_no_battery_can_have_are_unavailable(write_tree: WriteTree) -> None:
    root = write_tree(
        LAPTOP_ON_BATTERY + f"{CLASS}/BAT0/energy_full_design: 5000000\n    {CLASS}/BAT0/cycle_count: -1"
    )
    for name, says in (
        ("battery_health", "1000 % of the design"),
        ("battery_cycles", "says -1 cycles"),
    ):
        with pytest.raises(SensorError, match=says):
            read(root, name)
