"""The order of a chain's moves, and which of two chains is certified."""

import pytest

from tidegate.calibration.knob_settings import KnobSettings, LayerGroup
from tidegate.calibration.search.chain_choice import best_strategy, cost_within
from tidegate.calibration.search.cost import Cost
from tidegate.calibration.search.greedy_search import ChainStep
from tidegate.calibration.search.moves import ExitMove, PrecisionMove, SkipMove
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.search_space import SearchSpace
from tidegate.calibration.search.strategy import SearchStrategy, phases_of, strategies_for
from tidegate.models.ladder import Precision, StandIn

OBJECTIVE = Objective(flops_share=1.0)
SPACE = SearchSpace(
    {"block": (StandIn.IDENTITY,)}, exits=("block",), int8_groups=(LayerGroup("all", ("block.conv",)),)
)

NARROWER = PrecisionMove("all", Precision.INT8)
LEAVE = ExitMove("block", 0.5)
SKIP = SkipMove("block", 1.0, StandIn.IDENTITY)


def chain(*points: tuple[float, float]) -> tuple[ChainStep, ...]:
    """Of (cost, loss) each."""
    return tuple(ChainStep(KnobSettings(), None, loss, loss, Cost(flops, 1.0, 1.0)) for flops, loss in points)


def test_exits_come_before_blocks_with_the_strategy_that_says_so() -> None:
    precisions, exits, everything = phases_of(SearchStrategy.EXITS_FIRST, SPACE, 0.2)
    assert {type(move) for move in precisions.space.moves(KnobSettings())} == {PrecisionMove}
    assert {type(move) for move in exits.space.moves(KnobSettings())} == {ExitMove}
    assert {type(move) for move in everything.space.moves(KnobSettings())} == {PrecisionMove, ExitMove, SkipMove}
    assert [phase.limit for phase in (precisions, exits, everything)] == [0.01, 0.01, 0.2]


@pytest.mark.parametrize(
    ("moves", "past"),
    [
        ([None], [False, False, False]),
        ([None, NARROWER], [False, False, False]),
        ([None, NARROWER, LEAVE], [True, False, False]),
        ([None, LEAVE, SKIP, LEAVE], [True, True, False]),
    ],
)
def test_a_chain_taken_up_again_goes_on_in_the_phase_it_was_in(moves: list[ExitMove], past: list[bool]) -> None:
    assert [phase.is_past(moves) for phase in phases_of(SearchStrategy.EXITS_FIRST, SPACE, 0.2)] == past


def test_without_exits_there_is_one_strategy() -> None:
    assert strategies_for(SearchSpace(SPACE.stand_ins)) == (SearchStrategy.ALL_AT_ONCE,)
    assert len(strategies_for(SPACE)) == 2


def test_a_point_behind_the_first_that_loses_too_much_does_not_count() -> None:
    points = chain((1.0, 0.0), (0.7, 0.005), (0.5, 0.02), (0.3, 0.005))
    assert cost_within(points, OBJECTIVE, 0.01) == 0.7
    assert cost_within(points, OBJECTIVE, 0.05) == 0.3


def test_the_chain_that_is_cheaper_at_the_losses_to_certify_is_chosen() -> None:
    steady = chain((1.0, 0.0), (0.6, 0.01), (0.4, 0.04))
    late = chain((1.0, 0.0), (0.9, 0.02), (0.1, 0.045))
    chains = {SearchStrategy.ALL_AT_ONCE: steady, SearchStrategy.EXITS_FIRST: late}
    assert best_strategy(chains, OBJECTIVE, [0.01, 0.03]) is SearchStrategy.ALL_AT_ONCE
    assert best_strategy(chains, OBJECTIVE, [0.05]) is SearchStrategy.EXITS_FIRST
    assert best_strategy({SearchStrategy.ALL_AT_ONCE: steady}, OBJECTIVE, [0.05]) is SearchStrategy.ALL_AT_ONCE


@pytest.mark.parametrize(
    ("cost", "chosen"), [(0.48, SearchStrategy.EXITS_FIRST), (0.47, SearchStrategy.ALL_AT_ONCE)]
)
def test_what_s_hardly_tells_apart_goes_to_the_strategy_that_sets_fewer_knobs(
    cost: float, chosen: SearchStrategy
) -> None:
    chains = {
        SearchStrategy.ALL_AT_ONCE: chain((1.0, 0), (cost, 0)),
        SearchStrategy.EXITS_FIRST: chain((1.0, 0), (0.5, 0)),
    }
    assert best_strategy(chains, OBJECTIVE, [0.01]) is chosen
