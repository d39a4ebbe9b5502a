"""The yardstick is what no policy beats, and what a brute search over constant points can't beat either."""

from dataclasses import replace
from functools import cache

import pytest
from simulation_cases import DEVICE, LADDER, LASTS, SECONDS, scenario

from tidegate.policy.choice import accuracy
from tidegate.policy.policy import Goals
from tidegate.simulation.run import Act, Run, simulate
from tidegate_bench.control.optimum import OptimumError, Plan, by_plan, optimum

CASES = {
    "battery": (scenario(), DEVICE, LASTS),
    "heat": (scenario(ambient_c=26.0, supply_w=30.0), DEVICE, Goals(temperature_ceiling_c=42.0)),
    "overload": (scenario(supply_w=30.0, requests_hz=45.0), DEVICE, Goals()),
    "budget": (scenario(supply_w=30.0), replace(DEVICE, battery_wh=None), Goals(energy_per_day_j=2.4 * SECONDS)),
}


@cache
def planned(case: str) -> tuple[Plan, Run]:
    """The best plan of a case, and the day that it makes; seconds of work."""
    day, device, goals = CASES[case]
    plan = optimum(LADDER, day, device, goals)
    return plan, simulate("optimum", by_plan(plan, LADDER), day, device, goals)


@pytest.mark.parametrize("case", CASES)
def test_no_constant_point_beats_it_and_it_breaks_no_goal(case):
    day, device, goals = CASES[case]
    plan, best = planned(case)
    assert best.totals.violations_s <= 60
    for point in LADDER.points:
        run = simulate(point.name, lambda _, point=point: Act(point), day, device, goals)
        if run.totals.violations_s <= best.totals.violations_s:
            assert run.totals.correct_within <= 1.003 * max(plan.worth, best.totals.correct_within)


@pytest.mark.parametrize("case", CASES)
def test_the_grid_promises_what_the_plan_then_reaches(case):
    plan, best = planned(case)
    assert plan.worth == pytest.approx(best.totals.correct_within, rel=0.03)


def test_with_energy_to_spare_it_is_the_full_point():
    day = scenario(supply_w=30.0)
    assert optimum(LADDER, day, DEVICE, Goals()).worth == pytest.approx(
        10 * SECONDS * accuracy(LADDER.full), rel=1e-3
    )


def test_a_budget_beside_a_battery_is_refused():
    with pytest.raises(OptimumError, match="without"):
        optimum(LADDER, scenario(), DEVICE, Goals(energy_per_day_j=1e5))
