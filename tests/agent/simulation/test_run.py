"""The simulated device obeys its physics, and the service's own decisions drive it."""

from dataclasses import replace
from datetime import time

import pytest
from simulation_cases import DEVICE, LADDER, LASTS, SECONDS, scenario

from tidegate.policy.choice import accuracy
from tidegate.policy.policy import Dwell, Goals, Named, Pause, Policy
from tidegate.simulation.chart import chart
from tidegate.simulation.run import Act, by_policy, simulate

FULL, CHEAPEST = LADDER.full, LADDER.cheapest
NONE = Goals()


def always(point, rate_hz=float("inf")):
    return lambda _: Act(point, rate_hz)


def test_energy_and_answers_add_up():
    run = simulate("full", always(FULL), scenario(supply_w=30.0), DEVICE, NONE)
    assert run.totals.asked == pytest.approx(10 * SECONDS)
    assert run.totals.answered == pytest.approx(10 * SECONDS)
    assert run.totals.correct == pytest.approx(10 * SECONDS * accuracy(FULL))
    assert run.totals.energy_j == pytest.approx((1.5 + 10 * 0.18) * SECONDS)


def test_a_point_answers_no_more_than_it_has_time_for():
    run = simulate("full", always(FULL), scenario(supply_w=30.0, requests_hz=40.0, competing=0.5), DEVICE, NONE)
    assert run.totals.answered == pytest.approx(0.5 / 0.060 * SECONDS)


def test_the_battery_empties_by_what_is_drawn_and_then_nothing_answers():
    run = simulate("full", always(FULL), scenario(), DEVICE, LASTS)
    empty_s = 12 * 3600 / 3.3
    assert run.totals.dead_s == pytest.approx(SECONDS - empty_s, abs=2)
    assert run.totals.dead_early_s == run.totals.dead_s
    assert run.totals.answered == pytest.approx(10 * empty_s, rel=1e-3)


def test_it_warms_up_to_its_equilibrium_and_throttles_past_the_limit():
    run = simulate("full", always(FULL), scenario(supply_w=30.0), DEVICE, NONE)
    assert run.diary[-1].celsius == pytest.approx(22 + 6 * 3.3, abs=0.1)
    hot = simulate("full", always(FULL), scenario(ambient_c=70.0, supply_w=30.0), DEVICE, NONE)
    assert hot.totals.throttled_s > 0
    assert max(each.celsius for each in hot.diary) < 70 + 6 * 3.3


def test_cold_costs_charge():
    warm, cold = (
        simulate("x", always(FULL), scenario(ambient_c=at), DEVICE, LASTS).totals for at in (20.0, -15.0)
    )
    assert cold.dead_s > warm.dead_s + 1000


def test_answers_in_seconds_of_broken_goals_do_not_count():
    ceiling = Goals(temperature_ceiling_c=35.0)
    run = simulate("full", always(FULL), scenario(supply_w=30.0), DEVICE, ceiling)
    assert run.totals.over_temperature_s > SECONDS / 2
    assert run.totals.correct_within < run.totals.correct / 2
    late = simulate("full", always(FULL), scenario(supply_w=30.0), DEVICE, Goals(latency_p95_ms=50.0))
    assert late.totals.correct_within == 0


def test_goals_are_reached_where_full_power_misses_them():
    policy = Policy("p", 1, 0.12, goals=LASTS)
    run = simulate("p", by_policy(policy, LADDER, DEVICE), scenario(), DEVICE, LASTS)
    assert run.totals.violations_s == 0
    full = simulate("full", always(FULL), scenario(), DEVICE, LASTS)
    assert run.totals.correct > full.totals.correct


@pytest.mark.parametrize("scale", [0.8, 1.25])
def test_a_device_off_its_profile_is_learned(scale):
    true = replace(DEVICE, idle_w=1.5 * scale, active_w=3.0 / scale, heat_k_per_w=6.0 * scale)
    goals = replace(LASTS, temperature_ceiling_c=38.0)
    run = simulate("p", by_policy(Policy("p", 1, 0.12, goals=goals), LADDER, DEVICE), scenario(), true, goals)
    assert run.totals.over_temperature_s == 0
    assert run.totals.dead_early_s == 0


def test_the_ceiling_holds_where_the_cheapest_point_would_break_it():
    goals = Goals(temperature_ceiling_c=40.0)
    policy = Policy("p", 1, 0.12, goals=goals)
    at = scenario(ambient_c=29.0, supply_w=30.0, requests_hz=20.0)
    run = simulate("p", by_policy(policy, LADDER, DEVICE), at, DEVICE, goals)
    cheapest = simulate("c", always(CHEAPEST), at, DEVICE, goals)
    assert cheapest.totals.over_temperature_s > 0
    assert run.totals.over_temperature_s == 0
    assert 0 < run.totals.answered < cheapest.totals.answered


def test_a_daily_budget_is_spent_and_not_exceeded():
    goals = Goals(energy_per_day_j=2.3 * 86_400)
    policy = Policy("p", 1, 0.12, goals=goals)
    mains = replace(DEVICE, battery_wh=None)
    day = scenario(supply_w=30.0)
    long = replace(day, **{name: getattr(day, name) * 6 for name in ("ambient_c", "supply_w", "requests_hz")})
    long = replace(long, competing=day.competing * 6, lost=day.lost * 6)
    run = simulate("p", by_policy(policy, LADDER, mains), long, mains, goals)
    assert run.totals.over_energy_s == 0
    assert run.totals.energy_j > 0.97 * 2.3 * 86_400


def test_pauses_and_dwell_are_the_policys():
    paused = Policy("p", 1, 0.12, default=Pause())
    assert simulate("p", by_policy(paused, LADDER, DEVICE), scenario(), DEVICE, NONE).totals.answered == 0
    named = Policy("p", 1, 0.12, default=Named("int8"), dwell=Dwell(3600.0, 60.0))
    assert simulate("p", by_policy(named, LADDER, DEVICE), scenario(), DEVICE, NONE).totals.switches == 1


def test_the_same_arguments_give_the_same_run():
    policy = Policy("p", 1, 0.12, goals=replace(LASTS, battery_until=time(4)))
    one, other = (simulate("p", by_policy(policy, LADDER, DEVICE), scenario(), DEVICE, LASTS) for _ in range(2))
    assert one == other


def test_the_chart_shows_every_curve():
    day = scenario()
    lines = chart(simulate("full", always(FULL), day, DEVICE, LASTS), LADDER, day).splitlines()
    assert [line.split("  ")[0] for line in lines[:-1]] == [
        "battery %",
        "temperature C",
        "draw W",
        "point (top: full)",
        "accuracy %",
        "answers Hz",
    ]
    assert lines[0].endswith("▁")
    assert lines[-1].split() == ["00h", "03h"]
