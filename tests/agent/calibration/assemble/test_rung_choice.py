"""Which points of a chain become rungs."""

from dataclasses import replace

from tidegate.calibration.assemble.rung_choice import name_point, pick_rungs, undominated
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.models.ladder import Figures, Precision


def figures(latency_ms: float, weights_bytes: int) -> Figures:
    return Figures(10, 1.0, 0.0, 0.0, 0.0, 1.0, latency_ms, latency_ms, weights_bytes)


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
    listed = [figures(1.0, 100), figures(0.98, 99), figures(1.1, 50), figures(0.5, 50), figures(0.49, 50)]
    assert undominated(listed) == (0, 2, 3)


def test_a_rung_that_spares_the_hard_samples_alone_is_kept() -> None:
    above, below = (replace(figures(0.2, 50), latency_mean_ms=mean_ms) for mean_ms in (1.0, 0.5))
    assert undominated([above, below]) == (0, 1)
    assert undominated([below, above]) == (0,)


def test_names_say_what_was_turned_and_never_clash() -> None:
    assert name_point(KnobSettings(), 0.0, []) == "full"
    assert name_point(KnobSettings(precision=Precision.INT8), 0.0, []) == "int8"
    skipping = KnobSettings(precision=Precision.INT8, skip=frozenset({"block_1"}))
    assert name_point(skipping, 0.114, []) == "int8-skip-11"
    assert name_point(skipping, 0.114, ["int8-skip-11"]) == "int8-skip-11-b"
    assert name_point(KnobSettings(layer_precision={"stem.conv": Precision.INT4}), 0.0, []) == "mixed"
