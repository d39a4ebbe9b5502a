"""Which points of a chain become rungs."""

import numpy as np

from tidegate.calibration.assemble.rung_choice import CHANCE, RungCost, name_point, pick_rungs, undominated
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.models.ladder import Precision


def cost(latency_ms: float, weight_bytes: int, turns: int = 20) -> RungCost:
    """Of a point that takes the same in every turn, on a machine that is slower in every third."""
    return RungCost(
        tuple(latency_ms * (2 if turn % 3 == 0 else 1) for turn in range(turns)), weight_bytes, weight_bytes
    )


def test_the_cheapest_point_of_every_alpha_is_a_rung() -> None:
    assert pick_rungs([0.0, 0.01, 0.01, 0.03, 0.03, None], [1, 0.9, 0.8, 0.7, 0.6, 0.5], at_most=3) == (0, 2, 4)


def test_wide_gaps_are_halved_without_intermediate_points() -> None:
    alphas = [0.0, 0.01, 0.01, 0.01, 0.01]
    costs = [1.0, 0.8, 0.5, 0.4, 0.25]
    assert pick_rungs(alphas, costs, at_most=3) == (0, 2, 4)
    assert pick_rungs(alphas, costs, frozenset({2}), at_most=3) == (0, 3, 4)


def test_nothing_certified_leaves_the_full_point() -> None:
    assert pick_rungs([0.0, None, None], [1.0, 0.5, 0.2]) == (0,)


def test_a_rung_no_faster_and_no_smaller_is_dropped() -> None:
    listed = [cost(1.0, 100), cost(1.01, 99), cost(1.1, 50), cost(0.5, 50), cost(0.51, 50)]
    assert undominated(listed) == (0, 2, 3)
    assert undominated(listed, always=frozenset({1})) == (0, 1, 2, 3)


def test_a_rung_little_faster_in_every_turn_is_kept_and_one_by_chance_is_not() -> None:
    """However much turns differ from each other: they are compared in pairs."""
    assert undominated([cost(1.0, 50), cost(0.99, 50)]) == (0, 1)
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(500):
        same = [RungCost(tuple(rng.normal(1, 0.2, 20)), 50, 50) for _ in range(2)]
        kept += undominated(same) == (0, 1)
    assert kept / 500 <= CHANCE + 0.02


def test_names_say_what_was_turned_and_never_clash() -> None:
    assert name_point(KnobSettings(), {Precision.FP32}, 0.0, []) == "full"
    assert name_point(KnobSettings(precision=Precision.INT8), {Precision.INT8}, 0.0, []) == "int8"
    skipping = KnobSettings(precision=Precision.INT8, skip=frozenset({"block_1"}))
    assert name_point(skipping, {Precision.INT8}, 0.114, []) == "int8-skip-11"
    assert name_point(KnobSettings(exits={"a": 0.5}), {Precision.FP32}, 0.0, []) == "fp32-exits"
    assert name_point(skipping, {Precision.INT8}, 0.114, ["int8-skip-11"]) == "int8-skip-11-b"
    assert name_point(KnobSettings(), {Precision.INT8, Precision.INT4}, 0.0, []) == "mixed"
