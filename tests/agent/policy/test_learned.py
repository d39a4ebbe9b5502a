"""The filters and the battery's account come to the true values, from readings alone."""

import random
from dataclasses import replace

import pytest
from policy_cases import LADDER, NOON, snapshot

from tidegate.policy.kalman import Factor, Line
from tidegate.policy.learned import LONGEST_STEP_S, Learned, Prior, observe


def test_a_factor_follows_what_it_sees_and_smooths_noise():
    chance, factor = random.Random(1), Factor()
    for _ in range(200):
        factor = factor.observe(1.6 + chance.gauss(0, 0.1), noise=0.02, drift=0.001)
    assert factor.mean == pytest.approx(1.6, abs=0.1)
    assert factor.variance < 0.02


def test_a_factor_that_jumps_is_believed_at_once_and_again_when_it_jumps_back():
    factor = Factor()
    for _ in range(50):
        factor = factor.observe(1.0, noise=0.02, drift=0.01)
    slow = factor.observe(1.8, noise=0.02, drift=0.01)
    assert slow.mean + slow.variance**0.5 >= 1.8
    back = slow.observe(1.0, noise=0.02, drift=0.01)
    assert back.mean == pytest.approx(1.0, abs=0.1)


def test_a_line_is_found_from_scattered_points():
    chance, line = random.Random(1), Line(0.0, 1.0, 25.0, 0.0, 4.0)
    for _ in range(500):
        x = chance.uniform(0, 5)
        line = line.observe(x, 3.0 + 2.0 * x + chance.gauss(0, 0.1), 0.01, 0.0, 0.0)
    assert (line.offset, line.slope) == pytest.approx((3.0, 2.0), abs=0.05)


def day(learned, hours, *, capacity_j, idle_w, scale, measured=True, start=100.0):
    """Readings of a device that differs from its prior: 10 and 30 requests a second in turn, on battery."""
    charge_j, at = capacity_j * start / 100.0, 0.0
    for step in range(int(hours * 360)):
        rate_hz = 10.0 if step // 90 % 2 else 30.0
        answers_w = learned.answer_j(LADDER.full) * learned.served_hz(LADDER.full, rate_hz)
        draw_w = idle_w + scale * answers_w
        charge_j -= draw_w * 10.0
        at += 10.0
        snap = snapshot(
            at,
            battery=float(round(100.0 * charge_j / capacity_j)),
            power=draw_w if measured else None,
            request_rate=rate_hz,
            power_source="battery",
        )
        learned = observe(learned, snap, LADDER, "full", NOON)
    return learned


def test_draw_and_capacity_are_learned_from_a_meter_and_a_gauge():
    learned = day(Learned.from_prior(Prior(battery_j=200e3)), 6, capacity_j=150e3, idle_w=2.0, scale=0.8)
    assert learned.charge.joules_per_percent == pytest.approx(1500, rel=0.07)
    assert (learned.power.offset, learned.power.slope) == pytest.approx((2.0, 0.8), rel=0.05)
    assert learned.rate_hz == pytest.approx(20.0, rel=0.25)


def test_without_a_meter_the_gauge_tells_the_draw():
    prior = Prior(battery_j=150e3, idle_w=5.0)
    learned = day(Learned.from_prior(prior), 6, capacity_j=150e3, idle_w=2.0, scale=1.0, measured=False)
    at_10_hz = learned.power.at(learned.answer_j(LADDER.full) * 10.0)
    assert at_10_hz == pytest.approx(3.0, rel=0.2)


def test_a_supply_is_seen_in_the_charge_that_it_brings():
    learned = Learned.from_prior(Prior(battery_j=36e3))
    for step in range(200):
        percent = float(round(20.0 + step * 10 * (8.0 - 3.0) / 360.0))
        snap = snapshot(
            10.0 * step, battery=min(100.0, percent), power=3.0, request_rate=1.0, power_source="external"
        )
        learned = observe(learned, snap, LADDER, "full", NOON)
        if percent < 95:
            seen_w = learned.charge.supply_w
    assert seen_w == pytest.approx(8.0, rel=0.15)


def test_a_lost_gauge_is_reckoned_on_from_the_draw():
    learned = day(Learned.from_prior(Prior(battery_j=150e3)), 2, capacity_j=150e3, idle_w=2.0, scale=1.0)
    before = learned.charge.percent
    for step in range(360):
        snap = snapshot(learned.at + 10.0, power=5.0, request_rate=10.0, power_source="battery")
        learned = observe(learned, snap, LADDER, "full", NOON)
        assert step < 400
    fallen = 5.0 * 3600 / learned.charge.joules_per_percent
    assert learned.charge.percent == pytest.approx(before - fallen, abs=0.2)


def test_nothing_is_learned_across_a_sleep():
    learned = day(Learned.from_prior(Prior(battery_j=150e3)), 1, capacity_j=150e3, idle_w=2.0, scale=1.0)
    later = snapshot(learned.at + LONGEST_STEP_S + 1, battery=10.0, power=90.0, request_rate=500.0)
    after = observe(learned, later, LADDER, "full", NOON)
    assert after == replace(learned, at=later.at, smooth_w=None, charge=replace(learned.charge, count=None))
