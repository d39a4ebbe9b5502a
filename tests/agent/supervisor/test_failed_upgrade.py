"""Which failed upgrades an agent tells of, and how often."""

from pathlib import Path

from tidegate.last_trial import FILE_NAME, LastTrial, as_json, failed
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.failed_upgrade import failed_upgrade, tell_once

FAILED = failed("versions/2", "2026-11-28T12:00:00+00:00", "it ended in failure", "the end")


def test_the_version_that_runs_again_tells_and_no_other(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(as_json(FAILED))
    assert failed_upgrade(tmp_path / "versions/1") == FAILED
    # Once more on trial, it does not tell of its own failure; and a clone's environment is no version.
    assert failed_upgrade(tmp_path / "versions/2") is None
    assert failed_upgrade(tmp_path / "clone/.venv") is None
    (tmp_path / FILE_NAME).write_text(as_json(LastTrial("versions/2", accepted=True)))
    assert failed_upgrade(tmp_path / "versions/1") is None


def test_each_failure_is_one_event(tmp_path: Path) -> None:
    told: list[Event] = []
    for _ in range(2):
        tell_once(FAILED, tmp_path, told.append)
    (event,) = told
    assert event.kind is EventKind.UPGRADE
    assert event.text == "the upgrade to versions/2 failed and was taken back: it ended in failure"
    assert event.details["last_words"] == ["the end"]
    tell_once(failed("versions/2", "2026-11-29T12:00:00+00:00", "it ended in failure", ""), tmp_path, told.append)
    assert len(told) == 2
