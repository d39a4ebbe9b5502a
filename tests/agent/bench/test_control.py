"""The control benchmark: its rows, its goals, and that the yardstick and the fresh days are what they say."""

import pytest

from tidegate.paths import profiles_directory
from tidegate_bench.control.bench import compare, run
from tidegate_bench.control.cases import SCRIPTED, of_file, random_case, reference_ladder, scripted

LADDER = reference_ladder()


def test_at_least_eight_traces_are_scripted_and_each_states_its_assumptions():
    assert len(SCRIPTED) >= 8
    for name in SCRIPTED:
        text = (profiles_directory() / "traces" / f"{name}.csv").read_text()
        assert "Nothing here was recorded" in text
        assert "# Assumed:" in text
        assert scripted(name).scenario.seconds == 86_400


def test_the_controller_comes_near_the_best_where_heat_binds():
    result = compare(scripted("heat-wave"), "scripted", LADDER)
    assert result.share("tidegate") > 0.95
    assert result.avoidable_s("tidegate") == 0
    assert result.share("tidegate") > result.share("two thresholds")
    assert result.share("always full") < 0.5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_goals_of_the_scripted_days_are_met():
    figures = run(quick=False)
    assert [goal.goal for goal in figures.goals if not goal.met] == []


def test_fresh_days_repeat_by_their_seed_and_differ_by_it():
    one, same, other = random_case(5, 0), random_case(5, 0), random_case(6, 0)
    assert one == same
    assert one.scenario.requests_hz != other.scenario.requests_hz


def test_any_trace_can_be_played():
    case = of_file(profiles_directory() / "traces" / "idle.csv")
    assert case.goals.battery_until is not None
    assert case.true != case.stated
