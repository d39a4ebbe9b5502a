"""Exits set jointly, held against every other choice of thresholds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.calibration.search.cascade import Cascade, ExitOutcomes, frontier, thinned
from tidegate.calibration.search.isotonic import never_rising

WHOLE_MS = 1.0


def exit_(block: str, margins: list[float], failure: list[float], before_ms: float, own_ms: float) -> ExitOutcomes:
    return ExitOutcomes(block, np.array(margins, float), np.array(failure, float), before_ms, own_ms)


def simulated(
    exits: list[ExitOutcomes], thresholds: list[float], whole_failure: list[float]
) -> tuple[float, float]:
    """Mean time and failures, sample by sample; infinity: no exit."""
    times, failures = [], []
    for sample, at_end in enumerate(whole_failure):
        spent, failed, before = 0.0, at_end, WHOLE_MS
        for each, threshold in zip(exits, thresholds, strict=True):
            if threshold == np.inf:
                continue
            spent += each.own_ms
            if each.margins[sample] > threshold:
                failed, before = each.failure[sample], each.before_ms
                break
        times.append(spent + before)
        failures.append(failed)
    return float(np.mean(times)), float(np.mean(failures))


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[ExitOutcomes], list[float]]:
    samples = draw(st.integers(2, 5))
    unit = st.integers(0, 8).map(lambda eighth: eighth / 8)
    shares = sorted(draw(st.lists(unit, min_size=2, max_size=2)))
    exits = [
        exit_(
            f"block_{index}",
            draw(st.lists(unit, min_size=samples, max_size=samples)),
            draw(st.lists(unit, min_size=samples, max_size=samples)),
            before,
            draw(st.sampled_from([0.0, 0.02, 0.3])),
        )
        for index, before in enumerate(shares)
    ]
    return exits, draw(st.lists(unit, min_size=samples, max_size=samples))


@settings(max_examples=25)
@given(problems())
def test_what_a_cascade_promises_is_what_its_samples_do(problem: tuple[list[ExitOutcomes], list[float]]) -> None:
    exits, whole_failure = problem
    for cascade in frontier(exits, WHOLE_MS, np.array(whole_failure), 40):
        thresholds = [cascade.exits.get(each.block, np.inf) for each in exits]
        assert (cascade.mean_ms, cascade.failures) == pytest.approx(simulated(exits, thresholds, whole_failure))


@settings(max_examples=25)
@given(problems())
def test_no_choice_of_two_thresholds_is_as_good_in_both_and_better_in_one_at_any_price(
    problem: tuple[list[ExitOutcomes], list[float]],
) -> None:
    """At each price of a failure the frontier has a cascade within a hundredth of the best of all."""
    exits, whole_failure = problem
    found = frontier(exits, WHOLE_MS, np.array(whole_failure), 40)
    options = [[np.inf, 0.0, *np.unique(each.margins)] for each in exits]
    everything = [simulated(exits, list(pair), whole_failure) for pair in itertools.product(*options)]
    for price in (10.0, 1.0):
        best = min(time + price * failures for time, failures in everything)
        assert min(each.mean_ms + price * each.failures for each in found) <= best + 0.01 * WHOLE_MS


@settings(max_examples=25)
@given(problems())
def test_each_is_cheaper_and_riskier_than_the_one_before(problem: tuple[list[ExitOutcomes], list[float]]) -> None:
    exits, whole_failure = problem
    found = frontier(exits, WHOLE_MS, np.array(whole_failure), 40)
    for above, below in itertools.pairwise(found):
        assert below.mean_ms < above.mean_ms
        assert below.failures > above.failures


def test_an_exit_that_costs_more_than_it_spares_is_left_out() -> None:
    dear = exit_("a", [0.9, 0.1, 0.1, 0.1], [0, 1, 1, 1], before_ms=0.7, own_ms=0.1)
    assert frontier([dear], WHOLE_MS, np.zeros(4))[0].exits == {}
    cheap = exit_("a", [0.9, 0.1, 0.1, 0.1], [0, 1, 1, 1], before_ms=0.7, own_ms=0.01)
    first = frontier([cheap], WHOLE_MS, np.zeros(4))[0]
    assert first.exits == {"a": pytest.approx(0.5)}
    assert (first.mean_ms, first.failures) == pytest.approx((0.01 + (3 * 1 + 0.7) / 4, 0))


def test_an_early_exit_of_no_use_alone_is_found_beside_a_late_one() -> None:
    early = exit_("early", [0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], before_ms=0.1, own_ms=0.05)
    late = exit_("late", [0.9, 0.9, 0.8, 0.1], [0, 0, 0, 1], before_ms=0.6, own_ms=0.05)
    assert {"early", "late"} in [set(cascade.exits) for cascade in frontier([early, late], WHOLE_MS, np.zeros(4))]


def test_thinning_keeps_the_first_the_last_and_steps_of_a_ratio() -> None:
    times = [1.0, 0.99, 0.9, 0.89, 0.5]
    kept = thinned([Cascade({}, ms, index / 100) for index, ms in enumerate(times)], 0.95)
    assert [each.mean_ms for each in kept] == [1.0, 0.9, 0.5]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_pooled_values_never_rise_and_keep_their_mean(values: list[float]) -> None:
    pooled = never_rising(np.array(values))
    assert all(after <= before for before, after in itertools.pairwise(pooled))
    assert pooled.mean() == pytest.approx(np.mean(values))


def test_values_that_fall_are_left_as_they_are() -> None:
    assert never_rising(np.array([0.9, 0.5, 0.1])) == pytest.approx([0.9, 0.5, 0.1])
    assert never_rising(np.array([0.0, 1.0, 0.0])) == pytest.approx([0.5, 0.5, 0.0])
