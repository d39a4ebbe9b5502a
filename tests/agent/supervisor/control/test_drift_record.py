"""Demotions outlast the agent, end with the bundle that they are about, and can be forgotten."""

from pathlib import Path

from tidegate.messages import ShadowCount
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.supervisor.control.drift_record import FILE_NAME, DriftRecord
from tidegate.supervisor.events.event import Event, EventKind

LADDER = open_bundle(profiles_directory() / "bundles" / "digits").ladder
CHEAPEST, OTHER = LADDER.cheapest.name, LADDER.points[1].name
DRIFTED = ShadowCount(CHEAPEST, 200, 150)


def record(state_dir: Path, events: list[Event], bundle: str = "b1") -> DriftRecord:
    return DriftRecord(state_dir, bundle, LADDER, events.append)


def test_a_demotion_outlasts_a_kill_and_is_told_of_once(tmp_path: Path) -> None:
    events: list[Event] = []
    drift = record(tmp_path, events)
    drift.note(ShadowCount(OTHER, 100, 0))
    drift.note(DRIFTED)
    drift.note(DRIFTED)
    drift.note(ShadowCount("gone", 9, 9))
    assert list(drift.demotions) == [CHEAPEST]
    assert [event.kind for event in events] == [EventKind.FAULT]
    again = record(tmp_path, events)  # nothing was saved but at the demotion itself
    assert again.demotions == drift.demotions
    again.note(DRIFTED)
    assert len(events) == 1


def test_evidence_goes_on_over_a_clean_restart(tmp_path: Path) -> None:
    events: list[Event] = []
    seen = 0
    while not events and seen < 100:
        drift = record(tmp_path, events)
        drift.note(ShadowCount(CHEAPEST, 10, 3))
        drift.save()
        seen += 1
    assert 1 < seen < 100
    assert f"on {3 * seen} of {10 * seen}" in events[0].text


def test_another_bundle_starts_with_nothing_against_it(tmp_path: Path) -> None:
    record(tmp_path, []).note(DRIFTED)
    assert record(tmp_path, [], "b2").demotions == {}


def test_a_damaged_file_costs_the_memory_not_the_agent(tmp_path: Path) -> None:
    record(tmp_path, []).note(DRIFTED)
    (tmp_path / FILE_NAME).write_text('{"bundle": "b1", "demotions": 7}')
    assert record(tmp_path, []).demotions == {}


def test_forgetting_gives_the_place_back_and_starts_the_test_anew(tmp_path: Path) -> None:
    events: list[Event] = []
    drift = record(tmp_path, events)
    drift.note(DRIFTED)
    drift.note(ShadowCount(OTHER, 200, 150))
    assert drift.forget("gone") == ()
    assert drift.forget(CHEAPEST) == (CHEAPEST,)
    assert list(record(tmp_path, []).demotions) == [OTHER]
    drift.note(ShadowCount(CHEAPEST, 1, 1))
    assert CHEAPEST not in drift.demotions
    assert drift.forget(None) == (OTHER,)
    assert record(tmp_path, []).demotions == {}
    assert [event.kind for event in events[2:]] == [EventKind.CONTROL, EventKind.CONTROL]


def test_kept_frames_are_a_test_of_their_own_and_outlive_a_restart(tmp_path: Path) -> None:
    events: list[Event] = []
    kept = record(tmp_path, events)
    name = LADDER.points[1].name
    kept.note_kept(ShadowCount(name, 100, 0))
    kept.note(ShadowCount(name, 100, 0))
    kept.note_kept(ShadowCount("unknown", 100, 100))
    assert not events
    again = record(tmp_path, events)
    again.note_kept(ShadowCount(name, 300, 200))
    assert "200 of 400, allowed" in again.demotions[name].because
    assert "the world has changed, count again" in events[-1].text
    assert record(tmp_path, events).demotions.keys() == {name}


def test_what_another_count_took_off_comes_back_without_what_was_seen(tmp_path: Path) -> None:
    events: list[Event] = []
    kept = record(tmp_path, events)
    name = LADDER.points[1].name
    kept.demote(name, "failed on 9 of 600 kept clips")
    kept.demote(name, "again")
    kept.demote("unknown", "is on no ladder")
    assert [event.text for event in events] == [f"{name} is demoted: it failed on 9 of 600 kept clips"]
    kept.restore(name, "it is shown again")
    kept.restore(name, "it is shown again")
    assert kept.demotions == {}
    assert events[-1].text == f"{name} is back on the ladder: it is shown again"
    assert len(events) == 2
