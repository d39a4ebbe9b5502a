"""How the ladder benchmark reads its outcomes; what it measures is run by the command itself."""

import numpy as np
import pytest

from tidegate.calibration.certify.certification import failures_allowed
from tidegate_bench.ladder.bench import ALPHA, DELTA, Outcome, Trial, _better_everywhere, _choice, _within


def outcome(flops: float, failures: int, skipped: float = 0.0) -> Outcome:
    failed = np.zeros(800, np.bool_)
    failed[:failures] = True
    return Outcome(flops, skipped, failed)


def test_within_a_level_a_rule_offers_its_dearest_point() -> None:
    points = [outcome(1.0, 0), outcome(0.7, 8, 0.3), outcome(0.5, 80, 0.6)]
    assert _within(points, 0.8) == pytest.approx((0.3, 0.01))
    assert _within(points, 0.69) == pytest.approx((0.6, 0.1))
    assert _within(points, 0.4) is None


def test_draws_of_equal_operations_are_averaged() -> None:
    assert _within([outcome(0.7, 0), outcome(0.7, 16), outcome(0.2, 400)], 0.8) == pytest.approx((0.0, 0.01))


def test_the_choice_is_the_cheapest_point_before_the_first_that_fails_the_test() -> None:
    allowed = failures_allowed(600, ALPHA, DELTA)
    assert allowed is not None
    chain = [outcome(1.0, 0), outcome(0.5, allowed), outcome(0.4, allowed + 1), outcome(0.3, 0)]
    assert _choice(Trial("net", 0, 1.0, {"ladder": chain}, 600)) is chain[1]


def test_lost_comparisons_are_counted_and_levels_out_of_reach_are_not() -> None:
    def row(gate: str, level: float, wrong: float | None) -> dict[str, str | float | None]:
        return {"net": "n", "gate": gate, "operations_within": level, "newly_wrong": wrong}

    rows = [row("ladder", 0.8, 0.01), row("static", 0.8, 0.005), row("random", 0.8, 0.3), row("static", 0.4, None)]
    goal = _better_everywhere(rows)
    assert (goal.value, goal.met) == (1, False)
