"""A count on another runtime: what it shows again, what it refutes, and what so few frames leave open."""

import numpy as np

from tidegate.calibration.recertify.counting import PointAnswers
from tidegate.calibration.recertify.patient import PatientEngine
from tidegate.calibration.recertify.recertify import LadderAnswers, answered
from tidegate.calibration.recertify.recount import counted
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.statement import PointStatement, Statement
from tidegate.models.ladder import Risk
from tidegate.paths import profiles_directory

TOLD = Statement.model_validate(
    {
        "model": "digits",
        "bundle_sha256": "0" * 64,
        "data": "yard",
        "data_sha256": "0" * 64,
        "inputs": 600,
        "clip": 1,
        "labelled": 0,
        "delta": 0.05,
        "engines": ["onnx"],
        "placement": "elsewhere",
        "counted_at": "2027-01-01T00:00:00Z",
        "points": [
            PointStatement(name="full", alpha=0, risk=Risk.NEWLY_WRONG, n=600, failures=0).model_dump(),
            PointStatement(name="int8", alpha=0.02, risk=Risk.NEWLY_WRONG, n=600, failures=2).model_dump(),
            PointStatement(name="skip", alpha=0.02, risk=Risk.NEWLY_WRONG, n=600, failures=3).model_dump(),
        ],
    }
)


def answers(n: int, wrong: dict[str, int]) -> LadderAnswers:
    """Full says 0 everywhere; a point says 1 on its first so many."""
    points = {}
    for name, count in wrong.items():
        said = (np.arange(n) < count).astype(np.int64)
        points[name] = PointAnswers(said, said != 0)
    return LadderAnswers(np.zeros(n, np.int64), points, {})


def holds(n: int, wrong: dict[str, int], labels: np.ndarray | None = None) -> dict[str, bool | None]:
    found = counted(answers(n, wrong), labels, np.zeros(n, np.bool_), TOLD)
    return {name: point.holds for name, point in found.items()}


def test_what_is_reached_again_holds_and_what_is_not_fails() -> None:
    assert holds(600, {"int8": 2, "skip": 3, "other": 0}) == {"int8": True, "skip": True, "other": None}
    assert holds(600, {"int8": 2, "skip": 40}) == {"int8": True, "skip": False}
    # Down the ladder nothing is shown any more behind a point that fails.
    assert holds(600, {"int8": 40, "skip": 2}) == {"int8": False, "skip": False}


def test_so_few_frames_leave_it_open() -> None:
    assert holds(100, {"int8": 0, "skip": 60}) == {"int8": None, "skip": None}


def test_labels_say_which_disagreements_are_harmless() -> None:
    wrong = {"int8": 30, "skip": 30}
    assert holds(600, wrong)["int8"] is False
    labels = np.full(600, -1)
    labels[:30] = 7  # neither full nor the point was right
    assert holds(600, wrong, labels) == {"int8": True, "skip": True}


def test_only_what_is_new_is_held_against_the_guard() -> None:
    recent = np.arange(600) >= 590
    found = counted(answers(600, {"int8": 595}), None, recent, None)
    assert (found["int8"].recent_differs, found["int8"].failures, found["int8"].holds) == (5, 595, None)


def test_where_it_may_not_step_back_it_rests() -> None:
    bundle = open_bundle(profiles_directory() / "bundles" / "digits")
    rested: list[float] = []
    patient = PatientEngine(open_engine("onnx", bundle), rested.append)
    inputs = bundle.samples().inputs()
    found = answered(bundle, patient, inputs)
    assert found.points.keys() == answered(bundle, open_engine("onnx", bundle), inputs).points.keys()
    assert len(rested) == len(bundle.ladder.points)
    assert all(seconds > 0 for seconds in rested)
