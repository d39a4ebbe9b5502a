"""The view of a status in terminals of every size: what matters most is always there, in words."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tidegate.cli.view import render
from tidegate.messages import Served, StreamCount
from tidegate.supervisor.models.model_status import LoadState, ModelStatus
from tidegate.supervisor.status.status import (
    BundleStatus,
    DecisionStatus,
    PolicyStatus,
    ReadingStatus,
    RungStatus,
    Status,
    TelemetryStatus,
    WorkerStatus,
)
from tidegate.supervisor.status.troubles import Trouble
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


def test_a_ladder_that_is_shorter_here_than_in_its_bundle_says_so() -> None:
    assert "ladder, 12 rungs; 1 of the bundle's points does not run here" in "\n".join(shown(STATUS, 80, None))
    alone = replace(STATUS, point="full", ladder=STATUS.ladder[:2])
    assert "ladder, 1 rung; 1 of the bundle's points does not run here" in "\n".join(shown(alone, 80, None))
    whole = replace(STATUS, point="full", ladder=STATUS.ladder[:1])
    assert "ladder, 1 rung\n" in "\n".join(shown(whole, 80, None))


def test_a_pipe_gets_everything_uncut() -> None:
    lines = shown(STATUS, 60, None)
    text = " ".join(" ".join(lines).split())
    assert "…" not in text
    assert text.count("a sensor is gone") == 20
    assert "stays at int8-skip-88-onnx for another 1.38 s" in text
    assert "thermal pressure unavailable: the trace has no column thermal_pressure" in text


def test_the_address_of_the_status_page_fits_a_small_terminal() -> None:
    status = replace(STATUS, web_address="http://127.0.0.1:9464/")
    assert "status page    http://127.0.0.1:9464/" in render(status, 80, 23).plain


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


def test_what_waits_for_a_paid_link_says_why() -> None:
    telemetry = TelemetryStatus("online", "b:1883", 90, 5, 40, {}, merged=45, data_left_bytes=12_345)
    shown = render(replace(STATUS, telemetry=telemetry), 200).plain
    assert "5 published, 40 waiting, 45 merged, 0 dropped; 12 kB of data_per_day left for now" in shown


def test_a_held_point_is_told_with_what_still_goes_before_it() -> None:
    assert "held at" not in render(STATUS, 200).plain
    assert "int8, from outside: urgent rules" in render(replace(STATUS, held_at="int8"), 200).plain


def test_a_pushed_bundle_is_named_with_its_signers_and_one_that_comes_in_with_how_far_it_is() -> None:
    pushed = BundleStatus("ab" * 32, "/state/bundles/a", "pushed", 5, ("models",), "version 6: it is taken in")
    lines = "\n".join(shown(replace(STATUS, bundle=pushed), 120, None))
    assert "pushed as version 5, signed by models" in lines
    assert "version 6: it is taken in" in lines
    assert "pushed as" not in "\n".join(shown(replace(STATUS, bundle=replace(pushed, origin="local")), 120, None))


def test_what_others_may_do_stands_among_what_is_out_of_order() -> None:
    text = render(replace(STATUS, exposure="unauthenticated: whoever reaches 0.0.0.0 may ask"), 80, 24).plain
    assert "exposed" in text
    assert "whoever reaches 0.0.0.0 may ask" in text
    assert "exposed" not in render(STATUS, 80, 24).plain


def test_streams_and_frigate_have_a_line_each_and_say_why_no_frames_come() -> None:
    at = datetime(2026, 5, 1, 12, 0, 3).astimezone()
    came = {"last_frame_at": at.timestamp()}
    door = StreamCount("door", "camera rtsp://cam/1", seen=60, skipped=8, answered=50, failed=2, **came)
    yard = StreamCount("yard", "camera /dev/video0", problem="/dev/video0: No such file or directory")
    boxes = StreamCount("frigate", "ZeroMQ at ipc:///run/f.sock", seen=5, answered=4, dropped=1, **came)
    served = replace(
        STATUS.served or pytest.fail("nothing served"), window_s=10.0, streams=(door, yard), frigate=boxes
    )
    lines = shown(replace(STATUS, served=served), 200, None)
    by_label = {line[: line.index("  ")].strip(): line for line in lines if "stream " in line or "frigate" in line}
    counts = "camera rtsp://cam/1, 5.0/s answered, 2 failed, 8 skipped, last frame 2026-05-01 12:00:03"
    assert counts in by_label["stream door"]
    assert "no frame since the worker began; no frames come: /dev/video0: No such file" in by_label["stream yard"]
    assert "ZeroMQ at ipc:///run/f.sock, 0.4/s answered, 1 dropped, last frame" in by_label["frigate"]
    assert not [line for line in shown(STATUS, 200, None) if "stream" in line]


def test_models_are_listed_where_there_are_several() -> None:
    main = ModelStatus(
        "digits", True, "READY", "ab", "/a", point="int8", certified_risk=0.01, window_s=2.0, window_requests=50
    )
    late = replace(main, latency_p95_ms=0.7, weights_resident_bytes=3 << 20)
    resting = ModelStatus("plates", False, "UNAVAILABLE", "cd", "/b", FIRST, True, load_state=LoadState.LOADING)
    assert "\nmodel digits" not in "\n".join(shown(replace(STATUS, models=(main,)), 100, None))
    text = "\n".join(shown(replace(STATUS, models=(late, resting)), 100, None))
    assert "at int8 (≤ 1.0%), 25/s served, p95 0.70 ms, 3.0 MiB of weights" in text
    assert "loading: the first request for it loads it" in text


FIRST = "the first request for it loads it"
NO_ROOM = (
    "it needs about 400 MiB, and the worker holds 62 of the 150 MiB that worker.memory_limit allows, a tenth of"
    " which is for requests"
)


def test_models_that_do_not_answer_say_why_and_what_to_do_on_a_small_terminal() -> None:
    main = ModelStatus("digits", True, "READY", "ab", "/a", point="int8", certified_risk=0.01)
    lost = replace(main, name="plates.v2", main=False, state="UNAVAILABLE", point=None, reason=NO_ROOM)
    models = (
        main,
        replace(lost, load_state=LoadState.FAILED, remedy="mend that, and `tidegate reload` tries again"),
        replace(lost, name="faces", load_state=LoadState.EVICTED, reason="it made room for plates; " + FIRST),
        replace(lost, name="cells", load_state=LoadState.LOADING, reason="it is being loaded by engine onnx"),
    )
    trouble = Trouble("models", "2026-05-01T12:00:00+00:00", f"plates.v2: {NO_ROOM}")
    lines = shown(replace(STATUS, models=models, troubles=(trouble,)), 80, 23)
    text = " ".join(" ".join(lines).split())
    assert f"failed: {NO_ROOM}; mend that, and `tidegate reload` tries again" in text
    assert f"evicted: it made room for plates; {FIRST}" in text
    assert "loading: it is being loaded by engine onnx" in text
    assert "trouble" not in text, "the models say it themselves"
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
