"""`tidegate bench few-labels`: what draws of a place make of its points, and of their labels."""

import numpy as np
import pytest

from tidegate_bench.few_labels.bench import Drawn, Place, draws, goals, rows

PICTURES = 5000


def place(*wrong: tuple[int, int]) -> Place:
    """Full is always right; of each point so many pictures differ, of which so many are newly wrong."""
    labels = np.zeros(PICTURES, np.int64)
    full = np.zeros(PICTURES, np.int64)
    # Where full is wrong nobody can be newly wrong.
    full[-2000:] = 1
    answers = np.tile(full, (len(wrong), 1))
    for row, (differ, fails) in zip(answers, wrong, strict=True):
        row[:fails] = 2
        row[PICTURES - (differ - fails) :] = 2
    return Place(tuple(f"point-{index}" for index in range(len(wrong))), labels, full, answers)


def test_risks_are_those_of_all_pictures() -> None:
    assert place((100, 10), (200, 50)).risks.tolist() == [0.002, 0.01]


def test_labels_are_those_of_the_disagreements_and_show_the_bound() -> None:
    here = place((50, 5), (300, 100))
    drawn = draws(here, 10_000, 100, np.random.default_rng(0))
    first, second = rows(here, drawn)
    assert first["labels_mean"] == pytest.approx(100, rel=0.1)
    assert second["labels_mean"] == pytest.approx(600, rel=0.1)
    assert first["certified_at_half_a_percent"] == 1
    assert second["certified_at_half_a_percent"] == 0
    assert second["certified_at_all"] == 1
    shown, false = goals(here, drawn)
    assert (shown.value, shown.met) == (1.0, True)
    assert false.met


def test_without_a_point_of_low_risk_nothing_is_said_of_it() -> None:
    here = place((300, 100))
    assert goals(here, draws(here, 1000, 5, np.random.default_rng(0)))[0].value is None


def test_a_bound_below_the_risk_is_false() -> None:
    here = place((50, 50))
    drawn = Drawn(np.array([[100], [300]]), np.array([[0.005], [0.03]]))
    assert rows(here, drawn)[0]["false"] == 0.5
    assert goals(here, drawn)[1].value == 0.5
