"""A supply that gives way under current, on a simulated day."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policy.policy import Dwell, Equals, Full, Goals, Named, Policy, Rule
from tidegate.simulation.run import by_policy, simulate
from tidegate_bench.control.sagging import NODE, play, sagging_ladder, scripted_cases

LADDER = sagging_ladder()
RUNS_DOWN, OLD, PLUGGED, _ = scripted_cases()
WANTS_FULL = Policy("full", 1, 0.12, default=Full(), dwell=Dwell(0.0, 0.0))


@given(st.floats(0, 1), st.floats(0, 40), st.floats(0, 40))
def test_more_draw_and_less_charge_mean_less_voltage(charge: float, one_w: float, other_w: float) -> None:
    low_w, high_w = sorted((one_w, other_w))
    assert NODE.volts(charge, high_w) <= NODE.volts(charge, low_w) <= NODE.volts(1.0, low_w) <= NODE.full_v
    volts = NODE.volts(charge, low_w)
    if volts > 0:  # what is left at the board is what it draws
        open_v = NODE.empty_v + (NODE.full_v - NODE.empty_v) * charge
        assert volts * (open_v - volts) / NODE.supply_ohm == pytest.approx(low_w, abs=1e-6)


def test_the_guard_ends_the_brown_outs_and_costs_little() -> None:
    runs = play(RUNS_DOWN, LADDER)
    assert runs["no guard"].totals.brown_outs > 100
    assert runs["tidegate"].totals.brown_outs <= 4
    assert runs["tidegate"].totals.correct > 0.97 * runs["best that holds"].totals.correct
    assert runs["best that holds"].totals.brown_outs == 0


def test_a_device_that_is_plugged_in_comes_back_to_full() -> None:
    assert play(PLUGGED, LADDER)["tidegate"].diary[-1].point == "full"
    assert play(OLD, LADDER)["tidegate"].diary[-1].point != "full"


def test_a_policy_that_heeds_under_voltage_steps_down_in_time() -> None:
    heeds = Rule("supply", Named("int8-skip-16"), Equals("rules[0].when", "under_voltage", "yes"), urgent=True)
    policy = dataclasses.replace(WANTS_FULL, rules=(heeds,), dwell=Dwell(0.0, 86400.0))
    # At full load, since the board's mark is passed under the mean draw.
    scenario = dataclasses.replace(RUNS_DOWN.scenario, requests_hz=[20.0] * RUNS_DOWN.scenario.seconds)
    runs = [
        simulate("r", by_policy(each, LADDER, NODE, guarded=False), scenario, NODE, Goals())
        for each in (policy, WANTS_FULL)
    ]
    assert runs[0].totals.brown_outs < runs[1].totals.brown_outs / 10


def test_a_device_without_a_stated_resistance_never_loses_its_power() -> None:
    stiff = dataclasses.replace(NODE, supply_ohm=0.0)
    run = simulate("stiff", by_policy(WANTS_FULL, LADDER, stiff), RUNS_DOWN.scenario, stiff, Goals())
    assert (run.totals.brown_outs, run.totals.rebooting_s) == (0, 0)
