"""Certificates from few labels: what must be labelled, what counts, and that they are as sure as they say."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.calibration.recertify.counting import (
    UNLABELLED,
    PointAnswers,
    answers_of,
    by_clip,
    certificates,
    compared,
    failed,
    to_label,
)
from tidegate.models.ladder import Compared, Comparison, Risk

CLASSES = st.integers(0, 3)


def point(full: Sequence[int], answers: Sequence[int]) -> PointAnswers:
    return PointAnswers(np.array(answers), np.array(full) != np.array(answers))


def test_with_labelled_objects_a_frame_fails_only_where_one_is_lost() -> None:
    differs, lost = np.array([True, True, False]), np.array([True, False, False])
    assert failed(None, PointAnswers(None, differs, lost), None).tolist() == lost.tolist()
    assert failed(None, PointAnswers(None, differs), None).tolist() == differs.tolist()


@given(st.lists(st.tuples(CLASSES, CLASSES, CLASSES, st.booleans()), min_size=1, max_size=30))
def test_a_missing_label_never_makes_a_point_look_better(rows: list[tuple[int, int, int, bool]]) -> None:
    full, answers, labels, known = (np.array(column) for column in zip(*rows, strict=True))
    partly = np.where(known, labels, UNLABELLED)
    own = point(full.tolist(), answers.tolist())
    truly, counted = failed(full, own, labels), failed(full, own, partly)
    assert (truly <= counted).all()
    assert (counted <= own.differs).all()
    assert np.array_equal(truly, (full == labels) & (answers != labels))


@given(st.lists(st.tuples(CLASSES, CLASSES, CLASSES, CLASSES), min_size=1, max_size=30))
def test_labels_asked_for_are_all_that_matter(rows: list[tuple[int, int, int, int]]) -> None:
    full, one, other, labels = (np.array(column) for column in zip(*rows, strict=True))
    points = [point(full.tolist(), each.tolist()) for each in (one, other)]
    asked = to_label(points)
    sparse = np.full(len(full), UNLABELLED)
    sparse[asked] = labels[asked]
    for each in points:
        assert np.array_equal(failed(full, each, sparse), failed(full, each, labels))
    assert len(to_label(points, sparse)) == 0


def test_what_the_dearest_point_needs_is_asked_first() -> None:
    full = [0, 0, 0, 0]
    dear, cheap = point(full, [0, 0, 0, 1]), point(full, [1, 0, 1, 1])
    assert to_label([dear, cheap]).tolist() == [3, 0, 2]
    assert to_label([dear, cheap], np.array([UNLABELLED, 0, 2, 1])).tolist() == [0]


def test_without_labels_or_classes_all_that_differ_fail() -> None:
    own = point([0, 1], [0, 2])
    assert failed(np.array([0, 1]), own, None).tolist() == [False, True]
    assert failed(None, PointAnswers(None, own.differs), np.array([0, 1])).tolist() == [False, True]


def test_frames_are_counted_by_clip() -> None:
    frames = np.array([True, False, False, True, True, False])
    assert by_clip(frames, np.array(["a", "a", "b", "c", "c", "b"])).tolist() == [True, False, True]
    assert by_clip(frames, None) is frames


@pytest.mark.parametrize(
    ("comparison", "answers", "differs"),
    [
        (Comparison(), [0, 1], [False, True]),
        (Comparison(Compared.THRESHOLD, 0.5), [1, 0], [False, False]),
        (Comparison(Compared.DISTANCE, 0.5), None, [False, True]),
        (Comparison(Compared.COSINE, 0.5), None, [False, True]),
    ],
)
def test_answers_are_classes_or_sides(
    comparison: Comparison, answers: list[int] | None, differs: list[bool]
) -> None:
    full, outputs = np.array([[0.9, 0.1], [0.4, 0.3]], np.float32), np.array([[0.8, 0.1], [-0.3, 0.4]], np.float32)
    found = compared(comparison, full, outputs)
    assert (None if found.answers is None else found.answers.tolist()) == answers
    assert found.differs.tolist() == differs
    held = answers_of(comparison, outputs)
    assert (held is None) == (answers is None)


def draws(
    rng: np.random.Generator, frames: int, disagreement: float, risk: float, budget: int
) -> tuple[int, np.ndarray]:
    """Labels asked for, within a budget, and what fails then."""
    differs = rng.random(frames) < disagreement
    truly = differs & (rng.random(frames) < risk / disagreement)
    full = np.zeros(frames, np.int64)
    own = PointAnswers(differs.astype(np.int64), differs)
    labels = np.full(frames, UNLABELLED)
    asked = to_label([own])[:budget]
    labels[asked] = np.where(truly, 0, 1)[asked]
    return len(asked), failed(full, own, labels)


def test_half_a_percent_is_shown_with_few_labels() -> None:
    """10,000 frames, 2 % disagreement, a true risk of 0.2 %: at most 250 labels."""
    rng, shown = np.random.default_rng(0), 0
    for _ in range(100):
        asked, mask = draws(rng, 10_000, 0.02, 0.002, 250)
        assert asked <= 250
        (found,) = certificates([mask], Risk.NEWLY_WRONG, (0.005, 0.01, 0.015, 0.03, 0.05), 0.05)
        shown += found is not None and found.alpha == 0.005
    assert shown >= 95


def test_certificates_are_wrong_no_more_often_than_delta() -> None:
    """The true risk lies just above an alpha: a certificate at that alpha is false."""
    rng, wrong, tries = np.random.default_rng(1), 0, 2000
    for _ in range(tries):
        _, mask = draws(rng, 1500, 0.03, 0.0101, 10_000)
        (found,) = certificates([mask], Risk.NEWLY_WRONG, (0.01, 0.03), 0.05)
        wrong += found is not None and found.alpha <= 0.01
    assert wrong / tries <= 0.05
    assert wrong > 0
