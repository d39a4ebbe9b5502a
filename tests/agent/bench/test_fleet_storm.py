"""What fleet-storm makes of what it has seen, and that it runs."""

import pytest

from tidegate_bench.fleet import bench
from tidegate_bench.fleet.rollouts import Ended
from tidegate_bench.fleet.storm import Storm, by_second

GONE = Storm(4, 1.0, (), 0, 1.0, None, None, None)
BACK = Storm(4, 1.0, (0.5, 0.9, 1.4, 7.0), 4, 1.0, put=9, acknowledged=7, waiting=1)
GOOD = [Ended(False, None, "", 1500), Ended(False, 1, "worse than certified", 9000)]
WORSE = [Ended(True, 0, "worse than certified", 1400), Ended(True, None, "", 1600)]


def test_who_came_back_and_when() -> None:
    assert BACK.most_at_once == 0.75, "within any one second, wherever it begins"
    assert [BACK.back_by(share) for share in (0.5, 1.0)] == [0.9, 7.0]
    assert by_second(BACK.back_s, (0, 1, 2, 60)) == [("0 to 1 s", 2), ("1 to 2 s", 1), ("2 to 60 s", 1)]
    assert (GONE.most_at_once, GONE.back_by(1.0)) == (None, None)


def test_goals_count_each_halt_where_it_belongs_and_unknown_is_missed() -> None:
    goals = {goal.goal: goal for goal in bench.figures(BACK, [*GOOD, *WORSE]).goals}
    assert goals["of 100 worse rollouts, halted with the canaries"].value == 50
    assert goals["of 100 good rollouts, halted"].value == 50
    assert (goals["telemetry rows lost"].value, goals["telemetry rows lost"].met) == (1, False)
    assert goals["agents back after the broker's restart"].met
    nothing = bench.figures(GONE, [])
    assert not any(goal.met for goal in nothing.goals)
    assert nothing.rows[-1]["answers_mean"] is None


@pytest.mark.slow
@pytest.mark.broker
def test_it_runs(mosquitto: None) -> None:
    figures = bench.run(quick=True, progress=lambda _: None)
    goals = {goal.goal: goal for goal in figures.goals}
    for name in (
        "agents back after the broker's restart",
        "agents that acknowledged a pushed policy",
        "telemetry rows lost",
    ):
        assert goals[name].met, name
    assert sum(int(row["rollouts"] or 0) for row in figures.rows if "rollouts" in row) == 2 * bench.QUICK_EACH
