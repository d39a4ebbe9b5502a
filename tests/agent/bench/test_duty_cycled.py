"""Solar nodes that sleep at night: rows, goals, and that fresh cases repeat by their seed."""

from dataclasses import replace

import pytest

from tidegate.policy.policy import Full, Policy, Rule, Sleep, Wake
from tidegate.simulation.run import by_policy, simulate
from tidegate_bench.control.cases import reference_ladder
from tidegate_bench.control.duty_cycled import WAKES, random_node, rows_and_goals, scripted_nodes


def test_the_goals_of_a_case_are_of_its_runs() -> None:
    rows, goals = rows_and_goals("g", scripted_nodes()[2:3])
    by_name = {str(row["controller"]): row for row in rows}
    right, on = by_name["tidegate"]["right_answers"], by_name["always on"]["right_answers"]
    assert isinstance(right, int)
    assert isinstance(on, int)
    assert right > on
    assert by_name["optimum"]["share"] == 1.0
    assert all(goal.met for goal in goals)


def test_what_sleeps_draws_what_the_board_takes_asleep_and_answers_nothing() -> None:
    node, ladder = scripted_nodes()[0], reference_ladder()
    dark = replace(node.scenario, supply_w=[0.0] * node.scenario.seconds, charge_percent=100.0).until(7200)
    always = Policy("sleeps", 1, 0.12, (Rule("always", Sleep(Wake(WAKES))),), default=Full())
    run = simulate("sleeps", by_policy(always, ladder, node.device), dark, node.device, node.goals)
    assert run.totals.answered == 0
    assert node.device.asleep_w is not None
    assert run.totals.energy_j == pytest.approx(7200 * node.device.asleep_w)
    unable = replace(node.device, asleep_w=None)
    idle = simulate("sleeps", by_policy(always, ladder, unable), dark, unable, node.goals)
    assert idle.totals.energy_j == pytest.approx(7200 * unable.idle_w), "a board that can't be suspended draws on"


def test_fresh_cases_repeat_by_their_seed_and_differ_by_it() -> None:
    one, same, other = random_node(5, 0), random_node(5, 0), random_node(6, 0)
    assert one == same
    assert one.device != other.device
