"""The family of devices whose supply gives way: its rows, its goals, and that fresh cases repeat by their seed."""

from tidegate_bench.control.sagging import random_sagging, rows_and_goals, scripted_cases


def test_the_goals_of_a_case_are_of_its_runs() -> None:
    rows, goals = rows_and_goals("g", scripted_cases()[:1])
    by_name = {str(row["controller"]): row for row in rows}
    lost, lost_without = by_name["tidegate"]["brown_outs"], by_name["no guard"]["brown_outs"]
    assert isinstance(lost, int)
    assert isinstance(lost_without, int)
    assert goals[0].value == (lost_without - lost) / lost_without
    assert all(goal.met for goal in goals)
    assert by_name["best that holds"]["share"] == 1.0


def test_fresh_cases_repeat_by_their_seed_and_differ_by_it() -> None:
    one, same, other = random_sagging(5, 0), random_sagging(5, 0), random_sagging(6, 0)
    assert one == same
    assert one.device != other.device
