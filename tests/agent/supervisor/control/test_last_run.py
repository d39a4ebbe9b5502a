"""The record of the last run: where the next one goes on, and what it says of how that one ended."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.supervisor.control.last_run import (
    FILE_NAME,
    End,
    LastRun,
    RunRecord,
    boot_id,
    end_of,
    point_of,
    read_last_run,
)

LADDER = open_bundle(profiles_directory() / "bundles" / "digits").ladder
CHEAPEST = LADDER.cheapest.name


def test_a_run_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    assert point_of(read_last_run(tmp_path)[0], LADDER) == "full"
    RunRecord(tmp_path, "boot", lambda: "b").at(CHEAPEST)
    assert point_of(read_last_run(tmp_path)[0], LADDER) == CHEAPEST


def test_only_a_goodbye_ends_a_run(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, "boot", lambda: "b")
    record.at(CHEAPEST)
    assert read_last_run(tmp_path) == (LastRun(CHEAPEST, "boot", ended=False, bundle="b"), "")
    record.ended()
    assert read_last_run(tmp_path) == (LastRun(CHEAPEST, "boot", ended=True, bundle="b"), "")


def test_a_goodbye_is_written_into_a_directory_that_was_emptied(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, "boot", lambda: "b")
    record.at(CHEAPEST)
    (tmp_path / FILE_NAME).unlink()
    record.ended()
    assert read_last_run(tmp_path)[0] == LastRun(CHEAPEST, "boot", ended=True, bundle="b")


@pytest.mark.parametrize(
    ("run", "now", "end"),
    [
        (None, "b", End.UNKNOWN),
        (LastRun("full", "a", ended=True), "b", End.GOODBYE),
        (LastRun("full", "a"), "a", End.KILLED),
        (LastRun("full", "a"), "b", End.DEVICE_LOST),
        (LastRun("full", None), "b", End.UNKNOWN),
        (LastRun("full", "a"), None, End.UNKNOWN),
    ],
)
def test_how_a_run_ended(run: LastRun | None, now: str | None, end: End) -> None:
    assert end_of(run, now) is end


def test_a_point_of_another_ladder_or_nonsense_is_ignored(tmp_path: Path) -> None:
    assert point_of(LastRun("gone"), LADDER) == "full"
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe not text")
    run, damage = read_last_run(tmp_path)
    assert run is None
    assert "it is kept as last_run.json.damaged-1" in damage
    assert (tmp_path / f"{FILE_NAME}.damaged-1").read_bytes() == b"\xff\xfe not text"
    assert read_last_run(tmp_path) == (None, "")


@given(st.binary(max_size=200))
def test_no_content_of_the_file_stops_an_agent(content: bytes) -> None:
    # In memory: no fixture may be shared between examples.
    run = LastRun(content.decode(errors="replace"))
    assert point_of(run, LADDER) in {point.name for point in LADDER.points}


def test_a_directory_that_is_missing_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    record = RunRecord(tmp_path / "file" / "missing", "boot", lambda: "b")
    record.at("full")
    record.ended()


def test_this_boot_has_a_name() -> None:
    assert boot_id()
