"""What the goals make of what is known: a deadline that is missed is left, and load is not shed in vain."""

from dataclasses import replace
from datetime import time

from policy_cases import LADDER, NOON, snapshot

from tidegate.policy.charge import Charge
from tidegate.policy.learned import Learned, Prior
from tidegate.policy.policy import Goals, Policy
from tidegate.policy.setpoint import best_setpoint

POINTS = LADDER.points[:3]


def wanted(goals, learned, **readings):
    policy = Policy("p", 1, 0.015, goals=goals)
    return best_setpoint(POINTS, policy, snapshot(0.0, request_rate=10.0, **readings), learned, "full", NOON)


def test_a_deadline_that_the_point_in_force_is_seen_to_miss_is_left_at_once():
    quick = replace(Learned.from_prior(), slowdown=replace(Learned.from_prior().slowdown, mean=1.0, variance=0.0))
    goals = Goals(latency_p95_ms=20.0)
    # Every point's calibrated p95 is 20 ms; the filter still believes in it.
    assert wanted(goals, quick, latency=20.0).point.name == "full"
    missed = wanted(goals, quick, latency=20.1)
    assert missed.point.name != "full"
    assert missed.urgent


def reaching(most_w, *, base_w):
    """A device that may draw this much for the eight hours until 20:00, and draws 1.7 W at its quietest."""
    charge = Charge(joules_per_percent=most_w * 8 * 3600 / 50.0, percent=55.0, seen_at=0.0)
    learned = Learned.from_prior(Prior(idle_w=1.7))
    return replace(learned, at=0.0, rate_hz=10.0, base_w=base_w, quiet_w=1.7, charge=charge)


def test_load_is_shed_only_where_the_horizon_is_reached_by_it():
    goals = Goals(battery_until=time(20))
    assert wanted(goals, reaching(1.72, base_w=1.7)).rate_hz is not None
    assert wanted(goals, reaching(1.9, base_w=1.7)).rate_hz is None, "it is early"
    assert wanted(goals, reaching(1.5, base_w=1.7)).rate_hz is None, "even the idle device draws more"
    assert wanted(goals, reaching(1.72, base_w=2.1)).rate_hz is None, (
        "what other programs draw is too much already"
    )
