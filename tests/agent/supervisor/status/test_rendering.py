"""One made-up moment of an agent renders to the same JSON as it did when each part was assembled by itself."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from agent_states import BARE, BUSY, EXPLANATION, LADDER, SNAPSHOT

from tidegate.paths import profiles_directory
from tidegate.supervisor.models.model_status import LoadState, ModelStatus
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.rendering import as_reported, as_status, as_telemetry
from tidegate.supervisor.status.status import to_json
from tidegate.telemetry.payloads.document import to_json as to_payload
from tidegate.telemetry.payloads.reported import ReportedModel
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit
from tidegate_drivers.replay import discover
from tidegate_drivers.trace import ReplayTrace

RECORDED = json.loads((Path(__file__).parent / "recorded_state.json").read_text())


def in_order(document: object) -> str:
    """The JSON with its keys as they came."""
    return json.dumps(document, indent=1)


@pytest.mark.parametrize(("name", "state"), [("busy", BUSY), ("bare", BARE)])
def test_status_and_telemetry_are_as_recorded(name: str, state: AgentState) -> None:
    explanation = None if state.decision is None else EXPLANATION
    assert in_order(json.loads(to_json(as_status(state, explanation)))) == in_order(RECORDED[name]["status"])
    assert in_order(as_telemetry(state, 10.04, 12.345).to_document()) == in_order(RECORDED[name]["telemetry"])


def test_reported_is_as_recorded() -> None:
    assert in_order(json.loads(to_payload(as_reported(BUSY, SNAPSHOT).to_document()))) == in_order(
        RECORDED["busy"]["reported"]
    )


def test_what_changes_without_news_leaves_the_report_equal() -> None:
    later = replace(BUSY, at=BUSY.at + 1, uptime_s=60.0, snapshot=Snapshot(101.0, {}), served=None, recent=())
    assert as_reported(later, SNAPSHOT) == as_reported(BUSY, SNAPSHOT)
    assert as_reported(replace(BUSY, point=LADDER.full), SNAPSHOT) != as_reported(BUSY, SNAPSHOT)


def test_a_window_tells_of_models_beside_the_main_one_what_is_known() -> None:
    main = ModelStatus("digits", True, "READY", "ab", "/a", point="int8")
    plates = ModelStatus(
        "plates", False, "READY", "cd", "/b", point="full", window_requests=3, latency_p95_ms=1.23456
    )
    resting = ModelStatus("faces", False, "UNAVAILABLE", "ef", "/c", "the first request for it loads it")
    window = as_telemetry(replace(BUSY, models=(main, plates, resting)), 10.0, None)
    assert window.to_document()["m"] == {
        "plates": {"st": "READY", "op": "full", "n": 3, "p95": 1.235},
        "faces": {"st": "UNAVAILABLE"},
    }
    assert "m" not in as_telemetry(replace(BUSY, models=(main,)), 10.0, None).to_document()


def test_the_report_says_which_models_are_beside_the_main_one_and_why_one_failed() -> None:
    main = ModelStatus("digits", True, "READY", "ab", "/a", point="int8")
    plates = ModelStatus("plates", False, "READY", "cd", "/b", point="full", window_requests=3)
    lost = ModelStatus(
        "faces", False, "UNAVAILABLE", "", "", "no " * 200, load_state=LoadState.FAILED, remedy="mend it"
    )
    report = as_reported(replace(BUSY, models=(main, plates, lost)), SNAPSHOT)
    plates_told, lost_told = report.models
    assert plates_told == ReportedModel("plates", "loaded", "cd", "full")
    assert (lost_told.name, lost_told.state, lost_told.bundle) == ("faces", "failed", None)
    assert lost_told.reason.startswith("no no ")
    assert lost_told.reason.endswith("; mend it"), "however long the reason is"
    assert len(lost_told.reason) < 250
    busier = replace(BUSY, models=(main, replace(plates, window_requests=9), lost))
    assert as_reported(busier, SNAPSHOT) == report, "what it serves is no news"


def test_a_window_of_the_demo_device_is_small() -> None:
    """With a day from the trace and the processor's and the memory's readings, as docs/telemetry.md states."""
    played = discover(ReplayTrace.load(profiles_directory() / "traces" / "field-camera-day.csv"), 60.0)
    readings = {
        sensor.name: Reading(sensor.read(), sensor.unit, 99.0, sensor.provenance, sensor.source)
        for sensor in played.sensors
    }
    readings["memory_available"] = Reading(23_520_000_000.0, Unit.BYTE, 99.0, Provenance.MEASURED, "meminfo")
    readings["memory_pressure"] = Reading(0.12, Unit.PERCENT, 99.0, Provenance.MEASURED, "psi/memory")
    readings["cpu"] = Reading(42.47, Unit.PERCENT, 99.0, Provenance.MEASURED, "stat")
    window = as_telemetry(replace(BUSY, snapshot=Snapshot(100.0, readings)), 10.0, 21.4)
    payload = to_payload({**window.to_document(), "seq": 1_000_000})
    assert window.readings.keys() == readings.keys() > {"battery", "temperature", "power"}
    assert len(payload) <= 400, payload


def test_the_report_says_once_what_windows_leave_out() -> None:
    report = as_reported(BUSY, SNAPSHOT)
    assert [(each.name, each.reason) for each in report.unavailable] == [("power", "may not be read")]
    assert [(each.name, each.unit) for each in report.readings] == [("battery", "%"), ("temperature", "C")]
    assert as_telemetry(BUSY, 10.0, None).readings == {"battery": 12.0}, "a stale one is not known now"


def test_a_counter_of_joules_is_in_the_window_itself() -> None:
    counter = Reading(4321.06, Unit.JOULE, 99.0, Provenance.MEASURED, "rapl")
    state = replace(BUSY, snapshot=Snapshot(100.0, {"energy": counter, "energy_counter/package-0": counter}))
    window = as_telemetry(state, 10.0, 3.21)
    assert (window.readings, window.total_j, window.energy_j) == ({}, 4321.1, 3.2)
