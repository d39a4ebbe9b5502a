"""The view of a status in terminals of every size: what matters most is always there, in words."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tidegate.cli.view import render
from tidegate.messages import Served
from tidegate.supervisor.status.status import (
    DecisionStatus,
    PolicyStatus,
    ReadingStatus,
    RungStatus,
    Status,
    TelemetryStatus,
    WorkerStatus,
)
from tidegate_drivers.reading import Freshness

REASON = "temperature 83.23 C is above 80 C; memory pressure is unavailable, ignored"
SIZES = [(80, 24), (80, 20), (80, 15), (60, 24), (60, 20), (60, 15), (120, 40), (200, 60)]


def reading(value: float | str | None, unit: str = "", reason: str = "") -> ReadingStatus:
    fresh = Freshness.UNAVAILABLE if value is None else Freshness.FRESH
    return ReadingStatus(value, unit, "estimated", "replay/a-day-with-a-long-name", fresh, reason)


def event(second: int, kind: str, text: str) -> dict[str, object]:
    return {"at": f"2026-05-01T12:00:{second:02}.000+00:00", "kind": kind, "text": text}


STATUS = Status(
    device="gate-7",
    version="0.1.0",
    uptime_s=12.0,
    model="digits",
    engine="onnx",
    point="int8-skip-88-onnx",
    certified_risk=0.03,
    switches=2,
    policy_pushes_applied=1,
    policy=PolicyStatus("field-camera", 7, "00", "pushed"),
    decision=DecisionStatus(
        "int8-skip-88-b-onnx", "overheating", REASON, True, ("stays at int8-skip-88-onnx for another 1.38 s",)
    ),
    ladder=(
        RungStatus("full", 0.0, 0.995, 0.58),
        RungStatus("int8-litert", 0.01, 0.995, 1.09, "certified on engine litert"),
        RungStatus("int8-onnx", 0.01, 0.995, 0.1),
        RungStatus("int8-skip-88-onnx", 0.03, 0.995, 0.05),
        *(RungStatus(f"int8-skip-9{n}-onnx", 0.05, None, 0.05) for n in range(9)),
    ),
    readings={
        "battery": reading(8.4, "%"),
        "temperature": reading(74.6, "C"),
        "power_source": reading("battery"),
        "memory_available": reading(24532463616.0, "B"),
        "thermal_pressure": reading(None, "", "the trace has no column thermal_pressure"),
    },
    worker=WorkerStatus("serving", 4711, 0),
    telemetry=TelemetryStatus("online", "127.0.0.1:1883", 5, 5, 0, {}),
    served=Served(1, 1.0, 25, 0, 25, 0.45, 0.7, 0.88, 135176, 3),
    recent=(
        event(1, "decision", "wants full: no rule holds"),
        *(event(2 + n, "fault", f"{n}: a sensor is gone") for n in range(20)),
        event(30, "switch", f"int8-onnx → int8-skip-88-onnx: {REASON}"),
        event(31, "policy", "field-camera version 7 is in force"),
    ),
)


def shown(status: Status, width: int, height: int | None) -> list[str]:
    return render(status, width, height).plain.split("\n")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_matters_is_there_at_every_size(width: int, height: int) -> None:
    lines = shown(STATUS, width, height)
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    for part in (
        "battery 8.4 %",
        "temperature 74.6 C",
        "power source battery",
        "point int8-skip-88-onnx, rung 3 of 12",
        "certified risk ≤ 3.0%",
        "because temperature 83.23 C is above 80 C",
        ":00:30 switch: int8-onnx → int8-skip-88-onnx: temperature 83.23 C",
        "25/s served, failed 0",
        "policy field-camera version 7",
    ):
        assert part in text, (part, text)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_points_of_another_engine_are_no_rungs(width: int, height: int) -> None:
    assert "litert" not in "\n".join(shown(STATUS, width, height))


def test_a_pipe_gets_everything_uncut() -> None:
    lines = shown(STATUS, 60, None)
    text = " ".join(" ".join(lines).split())
    assert "…" not in text
    assert text.count("a sensor is gone") == 20
    assert "stays at int8-skip-88-onnx for another 1.38 s" in text
    assert "thermal pressure unavailable: the trace has no column thermal_pressure" in text


def test_the_newest_stands_above_the_older() -> None:
    lines = shown(STATUS, 120, 40)
    order = ["last decision", "before that", "version 7 is in force", "19: a sensor", "18: a sensor"]
    places = [next(i for i, line in enumerate(lines) if part in line) for part in order]
    assert places == sorted(places)


def test_what_is_out_of_order_outlives_what_is_in_order() -> None:
    lost = replace(
        STATUS, telemetry=replace(STATUS.telemetry, link="offline"), worker=WorkerStatus("down", None, 3)
    )
    text = "\n".join(shown(lost, 60, 10))
    assert "offline at 127.0.0.1:1883" in text
    assert "down, pid none, 3 restarts" in text
    assert "field-camera version" not in text


def test_missing_sensors_and_a_first_moment_are_said_in_words() -> None:
    first = replace(STATUS, readings={}, decision=None, served=None, recent=())
    text = " ".join(" ".join(shown(first, 80, 24)).split())
    assert "battery no sensor" in text
    assert "because nothing is decided yet" in text
    assert "last decision none yet" in text
    assert "requests not counted yet" in text


@settings(max_examples=60)
@given(
    width=st.integers(20, 200),
    height=st.integers(1, 60),
    reason=st.text(max_size=400),
    name=st.text(min_size=1, max_size=60),
)
def test_never_larger_than_the_terminal(width: int, height: int, reason: str, name: str) -> None:
    decision = DecisionStatus(name, None, reason, True, (reason,))
    odd = replace(STATUS, point=name, decision=decision, policy=PolicyStatus(name, 1, "", "local"))
    lines = shown(odd, width, height)
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
