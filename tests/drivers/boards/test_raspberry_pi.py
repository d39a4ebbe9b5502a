"""Raspberry Pi: throttled words, the mailbox's message and the power chip, from recorded answers."""

import errno
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.boards import pmic, vcio
from tidegate_drivers.boards.raspberry_pi import discover
from tidegate_drivers.boards.throttled import Throttled
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Provenance

WriteTree = Callable[[str], Path]

PI_5 = """
    proc/device-tree/compatible: raspberrypi,5-model-b\\nbrcm,bcm2712
    sys/class/hwmon/
"""
ADC = """\
 3V7_WL_SW_A current(0)=0.09368448A
   VDD_CORE_A current(7)=0.94657990A
 3V7_WL_SW_V volt(8)=3.70000000V
   VDD_CORE_V volt(15)=0.72000000V
      EXT5V_V volt(24)=5.11478000V
       BATT_V volt(25)=0.00000000V
"""


@pytest.mark.parametrize(
    ("text", "under_voltage", "slowed", "pressure"),
    [
        ("throttled=0x0", False, False, "nominal"),
        ("throttled=0x50005", True, True, "nominal"),  # throttled for want of volts is no heat
        ("throttled=0x1", True, False, "nominal"),
        ("0xe0006", False, True, "serious"),
        ("80008", False, True, "serious"),
        ("throttled=0xf0000", False, False, "nominal"),  # all has occurred, nothing is now
    ],
)
def test_throttled_word(text: str, under_voltage: bool, slowed: bool, pressure: str) -> None:
    throttled = Throttled.parse(text)
    assert (throttled.under_voltage, throttled.slowed, throttled.pressure) == (under_voltage, slowed, pressure)


@pytest.mark.parametrize("text", ["", "throttled=", "0x-1", "hot", "0x100000000", "1 2", "_1"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a throttled word"):
        Throttled.parse(text)


def test_rails_with_volts_and_amperes_are_summed(write_tree: WriteTree) -> None:
    answers = {"get_throttled": "throttled=0x0", "pmic_read_adc": ADC}
    sensors = {sensor.name: sensor for sensor in discover(write_tree(PI_5), answers.__getitem__).sensors}
    assert sensors["power"].read() == pytest.approx(0.09368448 * 3.7 + 0.94657990 * 0.72)
    assert sensors["power"].provenance is Provenance.MEASURED_PARTIAL
    assert sensors["voltage/EXT5V"].read() == 5.11478


@pytest.mark.parametrize(
    "text", ["", "VDD_CORE_A current(7)=99A", "VDD_CORE_V volt(7)=1.0A", "VDD_CORE_A volt(7)=1V"]
)
def test_nonsense_from_the_power_chip_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        pmic.rails_w(text)


def test_pi_4_has_no_power_chip_and_a_closed_mailbox_says_what_to_do(write_tree: WriteTree) -> None:
    root = write_tree(PI_5)

    def pi_4(command: str) -> str:
        if command == "pmic_read_adc":
            raise OSError('the firmware refused the request: error=1 error_msg="Command not registered"')
        return "throttled=0x0"

    found = discover(root, pi_4)
    assert {sensor.name for sensor in found.sensors} >= {"thermal_pressure", "throttled", "under_voltage"}
    assert "power" not in {sensor.name for sensor in found.sensors}
    assert "Command not registered" in {missing.name: missing.reason for missing in found.unavailable}["power"]

    def closed(_command: str) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    found = discover(root, closed)
    assert all("video" in missing.grant for missing in found.unavailable if missing.source.endswith("firmware"))


def test_mailbox_that_fails_later_is_unavailable(write_tree: WriteTree) -> None:
    answers = {"get_throttled": "throttled=0x0", "pmic_read_adc": ADC}
    sensors = {sensor.name: sensor for sensor in discover(write_tree(PI_5), answers.__getitem__).sensors}
    answers["get_throttled"] = "throttled=0x8"
    assert read_sensor(sensors["thermal_pressure"]).value == "serious"
    answers["get_throttled"] = "garbage"
    assert "not a throttled word" in read_sensor(sensors["thermal_pressure"]).reason
    assert read_sensor(sensors["throttled/since_start"]).value == "yes"  # what was seen stays so
    assert "not a throttled word" in read_sensor(sensors["under_voltage/since_start"]).reason


def test_what_was_ever_so_since_the_start_is_remembered_without_touching_the_firmware(
    write_tree: WriteTree,
) -> None:
    asked: list[str] = []
    word = "throttled=0x50000"  # an under-voltage of unknown age

    def ask(command: str) -> str:
        asked.append(command)
        if command != "get_throttled":
            raise OSError("refused")
        return word

    found = discover(write_tree(PI_5), ask)
    ever = {
        sensor.name.partition("/")[0]: sensor for sensor in found.sensors if sensor.name.endswith("since_start")
    }
    assert (ever["under_voltage"].read(), ever["throttled"].read()) == ("no", "no")
    word = "throttled=0x40000"  # somebody cleared one mark
    assert ever["under_voltage"].read() == "no"
    word = "throttled=0x50000"  # and it came back between two looks
    assert (ever["under_voltage"].read(), ever["throttled"].read()) == ("yes", "no")
    word = "throttled=0x80008"  # now, and then everything is cleared again
    assert ever["throttled"].read() == "yes"
    word = "throttled=0x0"
    assert found.again is not None
    later = {sensor.name: sensor for sensor in found.again().sensors}
    assert later["under_voltage/since_start"].read() == "yes"
    assert later["throttled/since_start"].read() == "yes"
    # Any argument would clear the marks for everybody.
    assert set(asked) == {"get_throttled", "pmic_read_adc"}


def test_alarm_of_the_kernels_driver_is_remembered(write_tree: WriteTree) -> None:
    chip = "sys/class/hwmon/hwmon1"
    found = discover(write_tree(PI_5 + f"{chip}/name: rpi_volt\n    {chip}/in0_lcrit_alarm: 1"))
    sensors = {sensor.name: sensor for sensor in found.sensors}
    assert sensors["under_voltage/since_start"].read() == "yes"
    write_tree(f"{chip}/in0_lcrit_alarm: 0")
    assert (sensors["under_voltage"].read(), sensors["under_voltage/since_start"].read()) == ("no", "yes")


def test_under_voltage_by_the_kernels_driver_before_the_firmwares_word(write_tree: WriteTree) -> None:
    root = write_tree(PI_5 + "sys/devices/platform/soc/soc:firmware/get_throttled: 1")
    values = {sensor.name: sensor.read() for sensor in discover(root).sensors}
    assert values["under_voltage"] == "yes"
    chip = "sys/class/hwmon/hwmon1"
    found = discover(write_tree(f"{chip}/name: rpi_volt\n{chip}/in0_lcrit_alarm: 0"))
    assert [(s.read(), s.source) for s in found.sensors if s.name == "under_voltage"] == [("no", "hwmon/rpi_volt")]


@pytest.mark.parametrize("bus", ["soc", "soc@107c000000", "axi"])
def test_firmware_is_found_under_each_kernels_name_of_its_bus(write_tree: WriteTree, bus: str) -> None:
    root = write_tree(PI_5 + f"sys/devices/platform/{bus}/{bus}:firmware/get_throttled: 80008")
    sensors = {sensor.name: sensor.read() for sensor in discover(root).sensors}
    assert (sensors["thermal_pressure"], sensors["throttled"]) == ("serious", "yes")


def test_message_is_laid_out_as_the_firmware_wants_it() -> None:
    message = vcio.request("get_throttled")
    size, code, tag, space = struct.unpack_from("<IIII", message)
    assert (size, code, tag, space) == (len(message), 0, 0x00030080, 1024)
    assert message[24:37] == b"get_throttled"
    assert message.endswith(b"\0\0\0\0")
    answered = bytearray(message)
    struct.pack_into("<I", answered, 4, 0x80000000)
    answered[24:42] = b"throttled=0x50000\0"
    assert vcio.answer(bytes(answered)) == "throttled=0x50000"


@pytest.mark.parametrize(("code", "error"), [(0, 0), (0x80000001, 0), (0x80000000, 5)])
def test_refused_message_is_an_error(code: int, error: int) -> None:
    message = bytearray(vcio.request("pmic_read_adc"))
    struct.pack_into("<I", message, 4, code)
    struct.pack_into("<I", message, 20, error)
    with pytest.raises(OSError, match="refused"):
        vcio.answer(bytes(message))


def test_absent_mailbox_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        vcio.ask("get_throttled", tmp_path / "vcio")
