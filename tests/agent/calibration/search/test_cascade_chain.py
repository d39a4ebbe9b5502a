"""Where S is too small to show a failure, a cascade begins with those that are surest."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from tidegate.calibration.assemble.calibrate import fitted
from tidegate.calibration.certify.risk import NEWLY_WRONG
from tidegate.calibration.fit.exit_answers import ExitAnswers
from tidegate.calibration.fit.exit_heads import FittedExits
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.exit_times import ExitTime, ExitTimes
from tidegate.calibration.search.cascade_chain import cascade_chain
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.cost import Cost
from tidegate.calibration.search.moves import CascadeMove
from tidegate.engines.engine import Array
from tidegate.models.importing.export_network import export_network

SAMPLES = 200


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.relu(self.linear(x))


@pytest.fixture(scope="module")
def exits() -> FittedExits:
    torch.manual_seed(3)
    model = [("stem", nn.Linear(6, 6)), ("block", Block()), ("head", nn.Linear(6, 4))]
    inputs = np.random.default_rng(3).standard_normal((SAMPLES, 6)).astype(np.float32)
    return fitted(export_network(model, torch.from_numpy(inputs[:2])), inputs)


def with_margins(answers: Array, margins: Sequence[float]) -> Array:
    """The same best classes, with these differences between the two best probabilities."""
    rows = np.full(answers.shape, -30.0, np.float32)
    best = answers.argmax(1)
    at = np.arange(len(answers))
    rows[at, best] = np.log((1 + np.asarray(margins)) / 2)
    rows[at, (best + 1) % answers.shape[1]] = np.log((1 - np.asarray(margins)) / 2)
    return rows


def leaving_shares(exits: FittedExits, answers: Array) -> list[float]:
    """What leaves at the one exit, step by step."""
    block = "block"
    times = ExitTimes(1.0, {block: ExitTime(before_ms=0.2, own_ms=0.01)})
    cost = Cost(1.0, 1.0, 1.0)

    def measured(setting: KnobSettings, move: CascadeMove) -> ChainStep:
        return ChainStep(setting, move, 0.0, 0.0, cost)

    base = ChainStep(KnobSettings(), None, 0.0, 0.0, cost)
    labels = exits.outputs.argmax(1)
    given = ExitAnswers({block: answers}, exits.outputs)
    steps = cascade_chain(base, exits, given, times, times.whole_ms, NEWLY_WRONG, labels, 0.5, measured)
    return [dict(step.move.leaving)[block] for step in steps if isinstance(step.move, CascadeMove)]


def test_without_a_failure_on_s_the_surest_leave_first(exits: FittedExits) -> None:
    shares = leaving_shares(exits, with_margins(exits.outputs, np.linspace(0.01, 0.99, SAMPLES).tolist()))
    assert shares == sorted(shares)
    assert shares[0] < 0.5
    assert shares[-1] == 1


def test_an_exit_that_is_never_in_doubt_is_left_by_all_at_once(exits: FittedExits) -> None:
    assert leaving_shares(exits, with_margins(exits.outputs, [0.9999] * SAMPLES)) == [1.0]


def steps_from(exits: FittedExits, whole_ms: float, beginning_ms: float) -> list[ChainStep]:
    """From a base that takes as long and has more bytes than the chain's beginning; heads have some as well."""

    def measured(setting: KnobSettings, move: CascadeMove) -> ChainStep:
        return ChainStep(setting, move, 0.0, 0.0, Cost(1.0, 1.0, 0.9 + 0.05 * len(setting.exits)))

    base = ChainStep(KnobSettings(), None, 0.0, 0.0, Cost(1.0, 0.25, 0.25))
    given = ExitAnswers({"block": with_margins(exits.outputs, [0.9999] * SAMPLES)}, exits.outputs)
    times = ExitTimes(whole_ms, {"block": ExitTime(before_ms=0.2 * whole_ms, own_ms=0.01)})
    labels = exits.outputs.argmax(1)
    return list(cascade_chain(base, exits, given, times, beginning_ms, NEWLY_WRONG, labels, 0.5, measured))


def test_a_base_that_is_faster_than_the_beginning_is_a_step_without_exits(exits: FittedExits) -> None:
    first, *others = steps_from(exits, whole_ms=0.5, beginning_ms=1.0)
    assert first.move == CascadeMove(())
    assert str(first.move) == "leaving: nobody"
    assert first.cost.time_ratio == pytest.approx(0.5)
    assert others
    assert all(step.setting.exits for step in steps_from(exits, whole_ms=1.0, beginning_ms=1.0))


def test_times_are_shares_of_the_beginning_and_bytes_what_exits_add_to_it(exits: FittedExits) -> None:
    *_, last = steps_from(exits, whole_ms=0.5, beginning_ms=1.0)
    assert last.cost.time_ratio == pytest.approx(0.2 * 0.5 + 0.01)
    assert last.cost.memory_ratio == pytest.approx(0.25 + 0.05)
