"""The test over all devices keeps its stated error rates, counted in simulations, and depends on counts alone."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.fleet.rollout.pooled_test import ALPHA, BETA, Evidence, Outcome, answers_needed, pooled
from tidegate.telemetry.payloads.reported import ComparedPoint

MARGIN = 0.01
RUNS = 400
allowed = st.floats(0.001, 0.3)


@st.composite
def counts(draw: st.DrawFn) -> ComparedPoint:
    seen = draw(st.integers(0, 5000))
    return ComparedPoint(draw(st.sampled_from("abc")), seen, draw(st.integers(0, seen)), draw(allowed))


@given(st.lists(counts(), max_size=6), st.randoms())
def test_it_is_of_sums_in_any_order(found: list[ComparedPoint], random: "np.random.Generator") -> None:
    before = pooled(found, MARGIN)
    random.shuffle(found)
    after = pooled(found, MARGIN)
    assert (after.seen, after.disagreed) == (before.seen, before.disagreed)
    assert after.allowed == pytest.approx(before.allowed)
    assert after.outcome == before.outcome


@given(allowed, st.integers(1, 5000), st.integers(2, 9), st.data())
def test_many_devices_are_as_good_as_one(bound: float, seen: int, devices: int, data: st.DataObject) -> None:
    disagreed = data.draw(st.integers(0, seen))
    cuts = sorted(data.draw(st.lists(st.integers(0, seen), min_size=devices - 1, max_size=devices - 1)))
    ends = [0, *cuts, seen]
    split = [
        ComparedPoint("p", high - low, max(0, min(disagreed, high) - low), bound) for low, high in pairwise(ends)
    ]
    together = pooled([ComparedPoint("p", seen, disagreed, bound)], MARGIN)
    assert pooled(split, MARGIN).outcome == together.outcome


@given(allowed, st.integers(1, 20_000), st.data())
def test_more_disagreement_is_never_better_news(bound: float, seen: int, data: st.DataObject) -> None:
    order: list[Outcome] = ["kept", "undecided", "worse"]
    some, more = sorted(data.draw(st.tuples(st.integers(0, seen), st.integers(0, seen))))
    outcomes = [pooled([ComparedPoint("p", seen, each, bound)], MARGIN).outcome for each in (some, more)]
    assert order.index(outcomes[0]) <= order.index(outcomes[1])


def test_nothing_compared_decides_nothing() -> None:
    assert pooled([], MARGIN).outcome == "undecided"
    assert pooled([ComparedPoint("p", 0, 0, 0.01)], MARGIN).outcome == "undecided"


def ended(bound: float, excess: float, rng: np.random.Generator) -> tuple[Outcome, int]:
    """How a rollout ends that looks after every 25 answers of four devices, and after how many answers."""
    points = [ComparedPoint("p", 0, 0, bound) for _ in range(4)]
    for look in range(4000):
        device = look % len(points)
        before, failed = points[device], int(rng.binomial(25, bound + excess))
        points[device] = ComparedPoint("p", before.seen + 25, before.disagreed + failed, bound)
        outcome = pooled(points, MARGIN).outcome
        if outcome != "undecided":
            return outcome, 25 * (look + 1)
    return "undecided", 100_000


@pytest.mark.parametrize("bound", [0.005, 0.02])
def test_error_rates_are_the_stated_ones(bound: float) -> None:
    rng = np.random.default_rng(16)
    good = [ended(bound, 0.0, rng) for _ in range(RUNS)]
    bad = [ended(bound, MARGIN, rng) for _ in range(RUNS)]
    # Counts this far above their expectation come by chance once in some hundred thousand.
    slack = 5 * (RUNS * ALPHA) ** 0.5
    assert Counter(outcome for outcome, _ in good)["worse"] <= RUNS * ALPHA + slack
    assert Counter(outcome for outcome, _ in bad)["kept"] <= RUNS * BETA + slack
    assert Counter(outcome for outcome, _ in bad)["worse"] >= RUNS * (1 - BETA) - slack
    # Wald's figure leaves out by how much the last look oversteps.
    average = float(np.mean([answers for _, answers in good]))
    assert average == pytest.approx(answers_needed(bound, MARGIN), rel=0.25)


@given(st.permutations([(100, 1), (300, 4), (200, 2)]))
def test_reports_may_come_in_any_order_and_twice(reports: list[tuple[int, int]]) -> None:
    evidence = Evidence()
    for seen, disagreed in (*reports, reports[0]):
        evidence.note([ComparedPoint("p", seen, disagreed, 0.01)])
    assert evidence.all == (ComparedPoint("p", 300, 4, 0.01),)
