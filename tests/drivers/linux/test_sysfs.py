"""Reads against files that fail for real: a fifo answers EAGAIN, /proc/self/mem EIO, a directory EISDIR."""

import os
import platform
from pathlib import Path

import pytest

from tidegate_drivers.linux.sysfs import ImplausibleError, OutOfRangeError, UnreadableError, read_int, read_text
from tidegate_drivers.sensor import SensorError


def test_text_is_stripped_and_cut_at_one_page(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_text("7" * 10_000 + "\n")
    assert read_text(path) == "7" * 4096


def test_busy_attribute_is_said_to_be_busy(tmp_path: Path) -> None:
    path = tmp_path / "temp"
    os.mkfifo(path)
    keeps_it_open = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(UnreadableError, match=r"temp is busy and gave no value \(EAGAIN\)") as caught:
            read_text(path)
    finally:
        os.close(keeps_it_open)
    assert not caught.value.gone


@pytest.mark.skipif(platform.system() != "Linux", reason="/proc/self/mem is Linux's")
def test_device_that_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "temp"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(UnreadableError, match=r"did not answer the kernel \(EIO\)"):
        read_text(path)


def test_directory_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="EISDIR"):
        read_text(tmp_path)
    with pytest.raises(UnreadableError, match="is not there") as caught:
        read_text(tmp_path / "temp")
    assert caught.value.gone


def test_grant_names_the_file_only_where_a_permission_is_missing(tmp_path: Path) -> None:
    denied = UnreadableError(tmp_path / "energy_uj", 13)
    assert denied.grant == f"sudo chmod a+r {tmp_path}/energy_uj"
    # EPERM comes from the driver, as of a GPU that is asleep: no mode opens that.
    assert all(UnreadableError(tmp_path / "energy_uj", code).grant == "" for code in (1, 5))


@pytest.mark.parametrize("text", ["", "abc", "1.5", "0x10", "1_000", "12 13", "\u0663", "nan", "9" * 40])
def test_garbage_is_never_a_number(tmp_path: Path, text: str) -> None:
    path = tmp_path / "temp"
    path.write_text(text)
    with pytest.raises(ImplausibleError, match="not a whole number of millidegrees"):
        read_int(path, -40_000, 150_000, "millidegrees")


@pytest.mark.parametrize("content", [b"47000", b"47000\n\0", b"47000\r\n", b"\t 47000 \n\n", b"+47000\0\0"])
def test_padding_is_no_part_of_a_number(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "temp"
    path.write_bytes(content)
    assert read_int(path, -40_000, 150_000, "millidegrees") == 47_000


def test_lines_of_another_system_end_as_ours(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_bytes(b"MemTotal: 8 kB\r\nMemAvailable: 4 kB\r\n")
    assert read_text(path) == "MemTotal: 8 kB\nMemAvailable: 4 kB"


def test_bytes_that_are_no_text_are_no_number(tmp_path: Path) -> None:
    path = tmp_path / "temp"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SensorError):
        read_int(path, 0, 10, "uA")


def test_range_is_inclusive_and_named(tmp_path: Path) -> None:
    path = tmp_path / "temp"
    for text, value in (("-40000", -40_000), ("+150000", 150_000)):
        path.write_text(text)
        assert read_int(path, -40_000, 150_000, "millidegrees") == value
    path.write_text("-44000")
    with pytest.raises(OutOfRangeError, match="says -44000 millidegrees, plausible is -40000 to 150000"):
        read_int(path, -40_000, 150_000, "millidegrees")
