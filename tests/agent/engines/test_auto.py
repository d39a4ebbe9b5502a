"""`auto` on the shipped bundle: tried in children, kept, and handed out point by point."""

from pathlib import Path

import pytest

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.runtime import auto
from tidegate.engines.runtime import trials as contest
from tidegate.engines.runtime.choice import Choice
from tidegate.engines.runtime.installed import UnknownEngine, installed_engines
from tidegate.engines.runtime.other_load import OtherLoad
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate.worker.choosing import refused_points

pytestmark = pytest.mark.long

BUNDLE = open_bundle(Path(__file__).parents[3] / "profiles" / "bundles" / "digits")
CANARIES = BUNDLE.canaries()


def test_every_point_is_answered_as_at_calibration_and_the_choice_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy this machine is.
    monkeypatch.setattr(OtherLoad, "share", lambda _: 0.0)
    engine = open_engine("auto", BUNDLE, tmp_path)
    refused = refused_points(engine, BUNDLE.ladder)
    assert all(reason.startswith(f"{name}: ") for name, reason in refused.items())
    taken = [point for point in BUNDLE.ladder.points if point.name not in refused]
    assert {point.certified_risk for point in taken} == {p.certified_risk for p in BUNDLE.ladder.points}
    for point in taken:
        answered = engine.prepare(point).run(CANARIES.inputs)
        assert CANARIES.agreement(point.name, answered.outputs) == 1

    def again(*_: object) -> list[object]:
        raise AssertionError("measured twice")

    monkeypatch.setattr(auto, "contest", again)
    assert open_engine("auto", BUNDLE, tmp_path).name == engine.name


def test_an_engine_that_can_not_open_is_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = contest.contest(BUNDLE, ["nonsense"], None)
    assert {trial.point for trial in trials} == {point.name for point in BUNDLE.ladder.points}
    assert all(trial.latency_ms is None and "nonsense" in trial.reason for trial in trials)


def test_a_point_without_an_engine_says_what_was_tried() -> None:
    engine = auto.AutoEngine(Choice({}, ["full: no engine runs it (eager was killed by signal 8)"]), open_engine)
    with pytest.raises(UnsupportedPoint, match="signal 8"):
        engine.prepare(BUNDLE.ladder.full)


@pytest.mark.parametrize("name", installed_engines())
def test_an_engine_answers_the_canaries_of_its_own_shipped_points_and_refuses_the_others(
    name: str, tmp_path: Path
) -> None:
    engine = open_engine(name, BUNDLE, tmp_path)
    assert engine.name == name
    for point in BUNDLE.ladder.points:
        if point.engine in {"eager", name}:
            outputs = engine.prepare(point).run(CANARIES.inputs).outputs
            assert CANARIES.agreement(point.name, outputs) == 1
        else:
            with pytest.raises(UnsupportedPoint, match="whose arithmetic is its own"):
                engine.prepare(point)


def test_an_unknown_engine_is_told_what_there_is() -> None:
    with pytest.raises(
        UnknownEngine,
        match="allowed are auto, onnx, litert, mlx, coreml, coreai, eager, ",
    ):
        open_engine("tensorrt", BUNDLE)


def test_a_missing_runtime_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tidegate.engines.runtime.installed.installed_version", lambda name: "1" if name == "torch" else None
    )
    with pytest.raises(UnknownEngine, match=r"onnxruntime is missing; install it: .* -m pip install"):
        open_engine("onnx", BUNDLE)
