"""The remembered operating point: used when the ladder still has it, else full."""

from pathlib import Path

from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.supervisor.control.last_point import FILE_NAME, read_last_point, write_last_point

LADDER = open_bundle(profiles_directory() / "bundles" / "digits").ladder


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read_last_point(tmp_path, LADDER) == "full"
    write_last_point(tmp_path, LADDER.cheapest.name)
    assert read_last_point(tmp_path, LADDER) == LADDER.cheapest.name


def test_a_point_of_another_ladder_or_garbage_means_full(tmp_path: Path) -> None:
    write_last_point(tmp_path, "gone")
    assert read_last_point(tmp_path, LADDER) == "full"
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe")
    assert read_last_point(tmp_path, LADDER) == "full"


def test_a_disk_that_refuses_is_no_reason_to_stop(tmp_path: Path) -> None:
    write_last_point(tmp_path / "missing", "full")
