"""What a start makes of a run that ended with the device, and what is kept of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.policy.brown_out import LOSSES, Guard, Losses, Supply
from tidegate.policy.policy import Policy
from tidegate.supervisor.control.brown_outs import (
    FILE_NAME,
    BrownOutRecord,
    first_point,
    guard_at_start,
    loss_told,
)
from tidegate.supervisor.control.last_run import LastRun, RunRecord, read_last_run

LADDER = open_bundle(profiles_directory() / "bundles" / "digits").ladder
POLICY = Policy("any", 1, 0.05)
LOW = Supply(30.0, external=False, volts={"voltage/EXT5V": 4.7})
LOST = LastRun("full", "before", supply=LOW)
NAMES = [point.name for point in LADDER.points]


def test_a_loss_is_booked_once_and_survives_a_restart(tmp_path: Path) -> None:
    guard = guard_at_start(BrownOutRecord(tmp_path), "b", LOST, "now")
    assert guard == Guard({"full": Losses(1, Supply(30.0, external=False))}, climbs=True)
    assert BrownOutRecord(tmp_path).of("b") == guard.losses
    second = guard_at_start(BrownOutRecord(tmp_path), "b", LOST, "now")
    assert second.losses["full"].count == LOSSES
    assert "2 so far without a better supply, it is put off" in loss_told(LOST, second).text


@pytest.mark.parametrize(
    ("run", "boot"),
    [(None, "now"), (LastRun("full", "before", ended=True), "now"), (LastRun("full", "now"), "now"), (LOST, None)],
)
def test_an_end_that_was_wanted_or_a_kill_or_an_unknown_boot_is_no_loss(
    tmp_path: Path, run: LastRun | None, boot: str | None
) -> None:
    assert guard_at_start(BrownOutRecord(tmp_path), "b", run, boot) == Guard()
    assert not (tmp_path / FILE_NAME).exists()


def test_another_bundle_begins_anew(tmp_path: Path) -> None:
    guard_at_start(BrownOutRecord(tmp_path), "b", LOST, "now")
    assert BrownOutRecord(tmp_path).of("other") == {}


def test_a_loss_under_one_bundle_is_not_held_against_the_points_of_the_next(tmp_path: Path) -> None:
    run = replace(LOST, bundle="b")
    guard_at_start(BrownOutRecord(tmp_path), "b", run, "now")
    under_another = guard_at_start(BrownOutRecord(tmp_path), "c", run, "now")
    assert under_another == Guard(climbs=True), "its points are clean, but the supply has failed"
    assert "not on this one" in loss_told(run, under_another).text
    assert BrownOutRecord(tmp_path).of("b")["full"].count == LOSSES, "it is booked where it belongs"
    assert BrownOutRecord(tmp_path).of("c") == {}


def test_where_a_run_begins() -> None:
    cheapest = LADDER.points[-1].name
    assert first_point(LOST, LADDER, POLICY, Guard()) == "full"
    assert first_point(LOST, LADDER, POLICY, Guard({"full": Losses(1)}, climbs=True)) == cheapest
    assert first_point(LOST, LADDER, POLICY, Guard({"full": Losses(LOSSES)})) == NAMES[1]


def test_a_run_does_not_begin_at_a_booked_point_that_the_policy_has_left() -> None:
    """The ceiling came down: what is left draws more, and the cheapest of it is the least bad."""
    strict = Policy("strict", 1, 0.0)
    last = LastRun(NAMES[2], "now")
    assert first_point(last, LADDER, strict, Guard({NAMES[2]: Losses(LOSSES)})) == "full"
    cheapest = LastRun(NAMES[-1], "now")
    assert first_point(cheapest, LADDER, POLICY, Guard({NAMES[-1]: Losses(LOSSES)})) == NAMES[-1]


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"bundle": "b", "losses": {"full": {"count": 2, "ran_s": NaN}}}',
        '{"bundle": "b", "losses": {"full": {"count": 2, "ran_s": Infinity}}}',
        '{"bundle": "b", "losses": {"full": {"count": 1e999}}}',
        '{"bundle": "b", "losses": {"full": {"count": 2, "supply": {"volts": [1]}}}}',
    ],
)
def test_nonsense_in_the_file_ends_no_start(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    record = BrownOutRecord(tmp_path)
    assert "kept as brown_outs.json.damaged-1" in record.damage
    assert guard_at_start(record, "b", LOST, "now").losses["full"].count == 1


def test_a_damaged_file_is_put_aside_and_said(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{")
    record = BrownOutRecord(tmp_path)
    assert record.of("b") == {}
    assert "kept as brown_outs.json.damaged-1" in record.damage


def test_the_supply_is_written_in_steps_and_not_with_every_reading(tmp_path: Path) -> None:
    now, bundle = [0.0], ["b"]
    record = RunRecord(tmp_path, "boot", lambda: bundle[0], lambda: now[0])
    assert record.news("full", Supply(80.0, external=False))
    assert not record.news("full", Supply(79.0, external=False))
    assert not record.news("full", Supply(70.0, external=False))
    now[0] = 61.0
    assert record.news("full", Supply(70.0, external=False))
    assert record.news("full", Supply(70.0, external=True))
    assert record.news("other", Supply(70.0, external=True))
    record.write()
    supply = Supply(70.0, external=True)
    assert read_last_run(tmp_path)[0] == LastRun("other", "boot", supply=supply, bundle="b")
    assert not record.news("other", supply)
    bundle[0] = "c"
    assert record.news("other", supply)
