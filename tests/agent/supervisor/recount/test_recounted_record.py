"""What came of a count outlives a restart, and nothing of it another bundle or other certificates."""

from pathlib import Path

from tidegate.supervisor.recount.record import FILE_NAME, Recounted, read_recounted, write_recounted
from tidegate.telemetry.payloads.reported import Recount

FOUND = Recounted("b+1", Recount("fails", "onnx 2", "int8 failed", "2027-01-01", 600, ("int8",)), 1_800_000_000)


def test_it_is_as_it_was_left(tmp_path: Path) -> None:
    assert read_recounted(tmp_path, "b+1") == Recounted("b+1")
    write_recounted(tmp_path, FOUND)
    assert read_recounted(tmp_path, "b+1") == FOUND
    assert read_recounted(tmp_path, "b+2") == Recounted("b+2")


def test_a_damaged_file_or_a_disk_that_refuses_costs_another_count(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{")
    assert read_recounted(tmp_path, "b+1") == Recounted("b+1")
    (tmp_path / "file").write_text("")
    write_recounted(tmp_path / "file", FOUND)
