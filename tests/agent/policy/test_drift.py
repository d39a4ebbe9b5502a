"""The drift guard's test finds drift soon, and a point within its bound is hardly ever demoted."""

import random

import pytest
from policy_cases import point

from tidegate.models.ladder import Certificate, Risk
from tidegate.policy.drift import DELTA, DriftTest


def runs_until_exceeded(share, bound, most, chance):
    test = DriftTest(bound)
    for seen in range(1, most + 1):
        test = test.observe(1, int(chance.random() < share))
        if test.exceeded:
            return seen
    return None


def test_a_point_at_its_bound_is_demoted_no_more_often_than_stated():
    chance = random.Random(1)
    demoted = sum(runs_until_exceeded(0.02, 0.02, 1500, chance) is not None for _ in range(200))
    # With probability over 99.9 % a true rate of DELTA gives no more than 8 of 200.
    assert demoted <= 8
    assert DELTA == 0.01


@pytest.mark.parametrize(("share", "soon"), [(0.04, 4000), (0.10, 400), (0.3, 100)])
def test_drift_is_found(share, soon):
    chance = random.Random(2)
    found = [runs_until_exceeded(share, 0.02, 10_000, chance) for _ in range(20)]
    assert None not in found
    assert sorted(found)[10] <= soon


def test_counts_may_come_in_any_portions():
    once = DriftTest(0.02).observe(100, 7)
    twice = DriftTest(0.02).observe(60, 0).observe(40, 7)
    assert once.wealths == pytest.approx(twice.wealths)
    assert (once.seen, once.disagreed) == (100, 7)


def test_the_bound_is_the_certificates():
    certified = point("a", 0.015)
    # The point of the cases was certified on newly wrong answers and disagreed exactly as often.
    assert certified.certificate.risk is Risk.NEWLY_WRONG
    assert DriftTest.of(certified).bound == pytest.approx(0.015)
    assert DriftTest.of(point("x", None)) is None
    assert isinstance(certified.certificate, Certificate)


def test_a_point_certified_to_lose_nothing_may_never_disagree():
    assert not DriftTest(0.0).observe(1000, 0).exceeded
    assert DriftTest(0.0).observe(1000, 1).exceeded


def test_more_disagreements_than_runs_are_a_mistake():
    with pytest.raises(ValueError, match="3 disagreements in 2 runs"):
        DriftTest(0.02).observe(2, 3)
