"""In which order a greedy chain turns its knobs."""

import pytest

from tidegate.calibration.knob_settings import KnobSettings, LayerGroup
from tidegate.calibration.search.moves import ExitMove, Move, PrecisionMove, SkipMove
from tidegate.calibration.search.search_space import SearchSpace
from tidegate.calibration.search.strategy import phases_of
from tidegate.models.ladder import Precision, StandIn

SPACE = SearchSpace(
    {"block": (StandIn.IDENTITY,)}, exits=("block",), int8_groups=(LayerGroup("all", ("block.conv",)),)
)

NARROWER = PrecisionMove("all", Precision.INT8)
LEAVE = ExitMove("block", 0.5)
SKIP = SkipMove("block", 1.0, StandIn.IDENTITY)


def test_precisions_come_first() -> None:
    precisions, everything = phases_of(SPACE, 0.2)
    assert {type(move) for move in precisions.space.moves(KnobSettings())} == {PrecisionMove}
    assert {type(move) for move in everything.space.moves(KnobSettings())} == {PrecisionMove, ExitMove, SkipMove}
    assert [phase.limit for phase in (precisions, everything)] == [0.01, 0.2]


@pytest.mark.parametrize(
    ("moves", "past"),
    [([None], [False, False]), ([None, NARROWER], [False, False]), ([None, NARROWER, LEAVE, SKIP], [True, False])],
)
def test_a_chain_taken_up_again_goes_on_in_the_phase_it_was_in(moves: list[Move | None], past: list[bool]) -> None:
    assert [phase.is_past(moves) for phase in phases_of(SPACE, 0.2)] == past
