"""Crash reports: the newest are kept, and a disk that takes nothing costs nothing else."""

from dataclasses import replace
from pathlib import Path

from tidegate.supervisor.worker.crash_reports import (
    KEPT,
    STACK_BYTES,
    CrashReport,
    CrashReports,
    read_stack,
    stack_file,
)

REPORT = CrashReport("2027-01-01T00:00:00.000+00:00", "1", 7, "onnx", "full", None, "why", 1.0, None, "")


def test_the_newest_are_kept(tmp_path: Path) -> None:
    reports = CrashReports(tmp_path / "crashes")
    for hour in range(KEPT + 5):
        assert reports.keep(replace(REPORT, at=f"2027-01-01T{hour:02}:00:00")) is not None
    names = [path.name for path in reports.paths()]
    assert len(names) == KEPT
    assert names[0].startswith("2027-01-01T050000")


def test_where_nothing_can_be_written_there_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "crashes").write_text("in the way")
    reports = CrashReports(tmp_path / "crashes")
    assert reports.keep(REPORT) is None
    assert reports.paths() == ()


def test_a_stack_is_read_up_to_its_bound() -> None:
    with stack_file() as file:
        file.write(b"x" * (STACK_BYTES + 100))
        assert read_stack(file) == "x" * STACK_BYTES
