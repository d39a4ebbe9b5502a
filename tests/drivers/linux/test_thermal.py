"""Thermal zones from trees with the oddities of real machines."""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.linux.thermal import discover
from tidegate_drivers.reading import Provenance, Value
from tidegate_drivers.sensor import SensorError

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
    assert [missing.name for missing in found.unavailable] == ["thermal_pressure"]
    assert "soc-thermal has a passive trip point" in found.unavailable[0].reason


def test_no_zone_is_refused(write_tree: WriteTree) -> None:
    found = discover(write_tree(f"{CLASS}/cooling_device0/type: Processor"))
    assert {missing.name for missing in found.unavailable} == {"temperature", "thermal_pressure"}


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
    assert "soc-thermal" in found.unavailable[0].reason
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
    with pytest.raises(SensorError, match="without a sensor"):
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
    assert "no zone" in next(each.reason for each in found.unavailable if each.name == "thermal_pressure")


@pytest.mark.parametrize(
    "kind", ["pm6150l-thermal", "pm8998_tz", "pmi8994-thermal", "pmc8380-3-thermal", "pmic-thermal"]
)
def test_stage_of_a_power_chips_alarm_is_no_temperature_until_it_is_one(write_tree: WriteTree, kind: str) -> None:
    cool = f"{CLASS}/thermal_zone0/temp: 31500\n{CLASS}/thermal_zone1/temp: 30000"
    tree = BOARD + f"{CLASS}/thermal_zone9/type: {kind}\n{CLASS}/thermal_zone9/temp: 37000"
    write_tree(tree)
    root = write_tree(cool)
    assert read(root, "temperature") == 31.5
    with pytest.raises(SensorError, match="37000 millidegrees, a constant of its driver"):
        read(root, f"temperature/{kind}")
    # One with an ADC measures, and one that has reached a stage says at least that much.
    for millidegrees, celsius in ((36900, 36.9), (37100, 37.1), (107000, 107.0)):
        write_tree(f"{CLASS}/thermal_zone9/temp: {millidegrees}")
        assert read(root, "temperature") == celsius


@pytest.mark.parametrize("kind", ["cpu-thermal", "acpitz", "skin-thermal", "pmodel-thermal"])
def test_37_degrees_of_others_are_37_degrees(write_tree: WriteTree, kind: str) -> None:
    root = write_tree(f"{CLASS}/thermal_zone0/type: {kind}\n{CLASS}/thermal_zone0/temp: 37000")
    assert read(root, "temperature") == 37.0


@pytest.mark.parametrize(
    ("kind", "nothing"),
    [("max77620-die", 100000), ("ambient", 127000), ("ambient", 127875), ("quiet-therm", -40000)],
)
def test_other_constants_are_no_temperature(write_tree: WriteTree, kind: str, nothing: int) -> None:
    root = write_tree(BOARD + f"{CLASS}/thermal_zone9/type: {kind}\n{CLASS}/thermal_zone9/temp: {nothing}")
    assert read(root, "temperature") == 51.5
    write_tree(f"{CLASS}/thermal_zone9/temp: {nothing + 1}")
    assert read(root, f"temperature/{kind}") == (nothing + 1) / 1000


@pytest.mark.parametrize("kind", ["virtual-skin", "test-zone", "VIRTUAL-SKIN-CPU"])
def test_zone_may_be_called_like_a_dummy(write_tree: WriteTree, kind: str) -> None:
    root = write_tree(BOARD + f"{CLASS}/thermal_zone9/type: {kind}\n{CLASS}/thermal_zone9/temp: 53000")
    assert read(root, "temperature") == 53.0


def test_zone_of_a_dummy_battery_is_not_the_machines(write_tree: WriteTree) -> None:
    hot = f"{CLASS}/thermal_zone9/type: test_battery\n{CLASS}/thermal_zone9/temp: 80000"
    assert read(write_tree(BOARD + hot), "temperature") == 51.5


@pytest.mark.parametrize(
    "kind", ["iwlwifi_1", "mt7996_phy0_1", "nvme-thermal", "wlan-therm", "mlx5_core", "sfp-1"]
)
def test_radio_or_disk_is_no_part_of_the_machines_heat(write_tree: WriteTree, kind: str) -> None:
    hot = f"{CLASS}/thermal_zone9/type: {kind}\n{CLASS}/thermal_zone9/temp: 78000"
    root = write_tree(BOARD + hot)
    assert (read(root, "temperature"), read(root, f"temperature/{kind}")) == (51.5, 78.0)


@pytest.mark.parametrize("kind", ["battery", "BAT0", "charger-thermal", "iwlwifi_1", "usb-therm", "mtktsbattery"])
def test_battery_or_radio_alone_does_not_stand_for_the_processor(write_tree: WriteTree, kind: str) -> None:
    root = write_tree(f"{CLASS}/thermal_zone0/type: {kind}\n{CLASS}/thermal_zone0/temp: 31000")
    found = discover(root)
    assert [sensor.name for sensor in found.sensors] == [f"temperature/{kind}"]
    assert {missing.name for missing in found.unavailable} == {"temperature", "thermal_pressure"}
    assert f"batteries, chargers, radios or disks alone ({kind})" in found.unavailable[0].reason


def test_zone_of_a_supply_by_another_name_does_not_stand_for_the_processor(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {CLASS}/thermal_zone0/type: sbs-5-000b
        {CLASS}/thermal_zone0/temp: 31000
        sys/class/power_supply/sbs-5-000b/type: Battery
        """
    )
    assert "temperature" not in {sensor.name for sensor in discover(root).sensors}


def chip(number: int, name: str, *temperatures: tuple[str, int]) -> str:
    directory = f"sys/class/hwmon/hwmon{number}"
    lines = [f"{directory}/name: {name}"]
    for index, (label, millidegrees) in enumerate(temperatures, start=1):
        lines.append(f"{directory}/temp{index}_input: {millidegrees}")
        if label:
            lines.append(f"{directory}/temp{index}_label: {label}")
    return "\n".join(lines) + "\n"


HOT_DISK = chip(8, "nvme", ("Composite", 71000), ("Sensor 1", 74000))
HOT_RADIO = chip(9, "iwlwifi_1", ("", 69000))


@pytest.mark.parametrize(
    ("name", "temperatures", "celsius"),
    [
        ("apm_xgene", [("SoC Temperature", 52000)], 52.0),
        ("smpro_hwmon", [("temp1 SoC", 61000), ("temp2 SoC VRD", 70000), ("temp4 CORE VRD", 66000)], 61.0),
        ("sg2042_mcu", [("", 58000), ("", 63000)], 58.0),  # the second is the board's
        ("sfctemp", [("", 47500)], 47.5),
        ("120e0000.temperature-sensor", [("", 47500)], 47.5),
        ("cpu_hwmon", [("CPU 0 Temperature", 44000)], 44.0),
        ("cluster0_thermal", [("", 45000)], 45.0),  # a zone's mirror, in a capture without zones
        ("imx_thermal_zone", [("", 45000)], 45.0),
        ("soc_dts0", [("", 45000)], 45.0),
        ("scpi_sensors", [("PMIC", 60000), ("SoC", 50000), ("Big cluster", 51000)], 51.0),
        ("scmi_sensors", [("board", 60000), ("cpu_thermal", 48000)], 48.0),
        ("ibmpowernv", [("Chip 0 Core 8", 55000), ("Chip 0 DIMM 2", 60000), ("VRM VDD 0", 64000)], 55.0),
        ("nct6775", [("SYSTIN", 60000), ("CPUTIN", 49000), ("AUXTIN0", 99000)], 49.0),
        ("nct6798", [("CPUTIN", 105000), ("TSI0_TEMP", 53000)], 53.0),  # the diode input hangs in the air
        ("nct6687", [("CPU", 50000), ("CPU Socket", 62000), ("VRM MOS", 70000), ("PCH", 66000)], 50.0),
        ("dell_smm", [("CPU", 57000), ("SODIMM", 63000), ("Ambient", 33000)], 57.0),
        ("cros_ec", [("F75303_CPU", 54000), ("F75303_DDR", 60000), ("Charger", 66000)], 54.0),
        ("asus_ec_sensors", [("CPU Package", 59000), ("CPU_Opt", 70000), ("VRM", 71000)], 59.0),
    ],
)
def test_processors_temperature_that_only_hwmon_has(
    write_tree: WriteTree, name: str, temperatures: list[tuple[str, int]], celsius: float
) -> None:
    found = discover(write_tree(chip(0, name, *temperatures) + HOT_DISK + HOT_RADIO))
    (sensor,) = [sensor for sensor in found.sensors if sensor.name == "temperature"]
    assert sensor.read() == celsius
    assert sensor.provenance is Provenance.MEASURED
    assert [missing.name for missing in found.unavailable] == ["thermal_pressure"]


def test_chips_that_say_nothing_of_the_processor_are_named(write_tree: WriteTree) -> None:
    root = write_tree(
        HOT_DISK + HOT_RADIO + chip(1, "tmp451", ("", 40000), ("", 55000)) + chip(2, "mlx5", ("asic", 80000))
    )
    (reason,) = {missing.reason for missing in discover(root).unavailable if missing.name == "temperature"}
    assert "chips in hwmon (tmp451, mlx5, nvme, iwlwifi_1) none says" in reason
    assert not [sensor for sensor in discover(root).sensors if sensor.name == "temperature"]


@pytest.mark.parametrize("name", ["battery_thermal", "wlan_thermal", "charger_thermal_zone"])
def test_mirror_of_a_zone_beside_the_processor_is_not_the_processors(write_tree: WriteTree, name: str) -> None:
    found = discover(write_tree(chip(0, name, ("", 45000))))
    assert not [sensor for sensor in found.sensors if sensor.name == "temperature"]


def test_label_of_a_graphics_card_is_not_the_processors(write_tree: WriteTree) -> None:
    root = write_tree(chip(0, "amdgpu", ("soc", 70000)) + chip(1, "spd5118", ("", 40000)))
    assert not [sensor for sensor in discover(root).sensors if sensor.name == "temperature"]


def test_label_counts_only_where_nothing_else_measures_the_processor(write_tree: WriteTree) -> None:
    floating = chip(0, "nct6775", ("CPUTIN", 99000))
    assert read(write_tree(BOARD + floating), "temperature") == 51.5
    root = write_tree(chip(1, "k10temp", ("Tctl", 61000)) + f"{CLASS}/thermal_zone0/type: acpitz")
    assert read(root, "temperature") == 61.0


def test_label_counts_where_the_zones_give_nothing(write_tree: WriteTree) -> None:
    idle = f"{CLASS}/thermal_zone0/type: acpitz\n{CLASS}/thermal_zone0/temp: -274000\n"
    root = write_tree(idle + chip(0, "dell_smm", ("CPU", 57000)))
    assert read(root, "temperature") == 57.0


def test_labelled_sensor_that_is_faulty_is_no_temperature(write_tree: WriteTree) -> None:
    root = write_tree(chip(0, "nct6775", ("CPUTIN", 49000)) + "sys/class/hwmon/hwmon0/temp1_fault: 1")
    with pytest.raises(SensorError, match="faulty sensor"):
        read(root, "temperature")
