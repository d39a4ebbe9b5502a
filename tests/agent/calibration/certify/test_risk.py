"""What counts as a failure, with labels and without."""

import numpy as np
import pytest

from tidegate.calibration.certify.risk import RiskError, risk_of
from tidegate.models.ladder import Risk

FULL = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]], np.float32)
OTHER = np.array([[2.0, 0.1], [1.0, 0.5], [0.0, 3.0]], np.float32)
LABELS = np.array([0, 1, 1])


def beyond_two(full: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return np.abs(full - outputs).max(1) > 2


def integers(full: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return np.zeros(len(full))


@pytest.mark.parametrize(
    ("text", "kind", "failures"),
    [
        ("newly_wrong", Risk.NEWLY_WRONG, [False, True, False]),
        ("disagreement", Risk.DISAGREEMENT, [False, True, True]),
        ("cosine:0.1", Risk.DISAGREEMENT, [False, True, True]),
        ("distance:2", Risk.DISAGREEMENT, [False, False, True]),
        (f"{__name__}:beyond_two", Risk.DISAGREEMENT, [False, False, True]),
    ],
)
def test_failures_by_kind(text: str, kind: Risk, failures: list[bool]) -> None:
    risk = risk_of(text)
    assert risk.kind is kind
    assert risk.failures(FULL, OTHER, LABELS).tolist() == failures
    assert not risk.failures(FULL, FULL, LABELS).any()
    assert risk.loss(FULL, FULL) == pytest.approx(0, abs=1e-9)
    assert risk.loss(FULL, OTHER) > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("accuracy", "allowed are newly_wrong"),
        ("cosine:close", "needed is a number after the colon"),
        ("distance:-1", "must be above 0"),
        ("no.such.module:f", "No module named"),
        (f"{__name__}:nothing", "nothing"),
    ],
)
def test_risks_that_there_are_not_are_refused(text: str, words: str) -> None:
    with pytest.raises(RiskError, match=words):
        risk_of(text)


def test_newly_wrong_without_labels_is_refused_with_what_to_do() -> None:
    with pytest.raises(RiskError, match="without, certify disagreement"):
        risk_of("newly_wrong").failures(FULL, OTHER, None)


def test_a_function_that_returns_no_mask_is_refused() -> None:
    with pytest.raises(RiskError, match="must return bool"):
        risk_of(f"{__name__}:integers").failures(FULL, OTHER, None)
