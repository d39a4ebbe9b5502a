"""Which of two chains is certified."""

import pytest

from tidegate.calibration.assemble.chain_choice import better_strategy, within_each
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.cost import Cost
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.strategy import SearchStrategy

OBJECTIVE = Objective(flops_share=1.0)


def chain(*points: tuple[float, float]) -> tuple[ChainStep, ...]:
    """Of (cost, loss) each."""
    return tuple(ChainStep(KnobSettings(), None, loss, loss, Cost(flops, 1.0, 1.0)) for flops, loss in points)


def test_a_point_behind_the_first_that_loses_too_much_does_not_count() -> None:
    points = chain((1.0, 0.0), (0.7, 0.005), (0.5, 0.02), (0.3, 0.005))
    assert [step.cost.flops_ratio for step in within_each(points, OBJECTIVE, [0.01, 0.05])] == [0.7, 0.3]


def test_where_nothing_holds_the_full_point_is_left() -> None:
    assert within_each(chain((1.0, 0.0), (0.5, 0.2)), OBJECTIVE, [0.01])[0].cost.flops_ratio == 1


def test_times_as_measured_decide_and_not_operations() -> None:
    few_operations, much_time = chain((0.3, 0.01)), [0.9]
    many_operations, little_time = chain((0.6, 0.01)), [0.5]
    candidates = {SearchStrategy.GREEDY: few_operations, SearchStrategy.CASCADE: many_operations}
    times = {SearchStrategy.GREEDY: much_time, SearchStrategy.CASCADE: little_time}
    assert better_strategy(candidates, times, OBJECTIVE) is SearchStrategy.CASCADE


@pytest.mark.parametrize(("ratio", "chosen"), [(0.48, SearchStrategy.CASCADE), (0.47, SearchStrategy.GREEDY)])
def test_what_s_hardly_tells_apart_goes_to_the_strategy_that_sets_fewer_knobs(
    ratio: float, chosen: SearchStrategy
) -> None:
    candidates = dict.fromkeys(SearchStrategy, chain((1.0, 0.0)))
    times = {SearchStrategy.GREEDY: [ratio], SearchStrategy.CASCADE: [0.5]}
    assert better_strategy(candidates, times, OBJECTIVE) is chosen


def test_of_one_chain_there_is_no_choice() -> None:
    only = {SearchStrategy.GREEDY: chain((1.0, 0.0))}
    assert better_strategy(only, {SearchStrategy.GREEDY: [1.0]}, OBJECTIVE) is SearchStrategy.GREEDY
