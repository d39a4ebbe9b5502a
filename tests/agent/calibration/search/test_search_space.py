"""The knobs beside blocks and int8, as moves of the same search."""

import numpy as np
import pytest
import torch
from torch import nn

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.search.goal import DEFAULT_KNOBS, Goal, Knob
from tidegate.calibration.search.greedy_search import Search
from tidegate.calibration.search.moves import ActivationMove, PrecisionMove, ResolutionMove
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.search_space import search_space_of
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork


class Head(nn.Module):
    """Features of any size to classes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.mean((2, 3)))


@pytest.fixture(scope="module")
def network() -> TrainedNetwork:
    torch.manual_seed(0)
    stem, block = (nn.Sequential(nn.Conv2d(given, 6, 3, padding=1), nn.ReLU()) for given in (1, 6))
    return export_network([("stem", stem), ("block", block), ("head", Head())], torch.zeros(2, 1, 32, 32))


@pytest.fixture(scope="module")
def inputs() -> Array:
    return np.random.default_rng(0).random((40, 1, 32, 32), np.float32)


def test_knobs_left_off_give_no_moves(network: TrainedNetwork, inputs: Array) -> None:
    kinds = {type(move) for move in search_space_of(network, {Knob.INT8}, inputs).moves(KnobSettings())}
    assert kinds == {PrecisionMove}
    every = {type(move) for move in search_space_of(network, set(Knob), inputs).moves(KnobSettings())}
    assert {ActivationMove, ResolutionMove, PrecisionMove} <= every


def test_int4_comes_after_int8_and_by_segment(network: TrainedNetwork, inputs: Array) -> None:
    space = search_space_of(network, {Knob.INT8, Knob.INT4}, inputs)
    assert all(getattr(move, "precision", None) is not Precision.INT4 for move in space.moves(KnobSettings()))
    lower = KnobSettings(precision=Precision.INT8)
    assert [str(move) for move in space.moves(lower)] == [
        f"all of {name}: weights in int4" for name in ("stem", "block", "head")
    ]


def test_a_chain_for_memory_turns_them_jointly_and_holds_less_at_every_step(
    network: TrainedNetwork, inputs: Array
) -> None:
    knobs = DEFAULT_KNOBS[Goal.MEMORY] - {Knob.EXITS}
    objective = Objective(flops_share=0.0, count_activations=True, lookahead=4, max_disagreement=0.5)
    chain = Search(network, search_space_of(network, knobs, inputs), inputs, objective).chain()
    tracer = Tracer(network)
    held = [tracer.held(step.setting, inputs[:16]).model_bytes for step in chain]
    assert held == sorted(held, reverse=True)
    assert held[-1] < 0.25 * held[0]
    assert any(isinstance(step.move, ActivationMove) for step in chain)
    assert any(isinstance(step.move, PrecisionMove) and step.move.precision is Precision.INT4 for step in chain)


def test_smaller_images_cost_fewer_operations(network: TrainedNetwork, inputs: Array) -> None:
    space = search_space_of(network, {Knob.RESOLUTION}, inputs)
    assert space.resolutions[-1] == (16, 16)
    engine = EagerEngine(network)
    full = engine.build(KnobSettings()).forward(inputs[:2]).flops
    half = engine.build(KnobSettings(resolution=(16, 16))).forward(inputs[:2]).flops
    assert 0.2 < half / full < 0.3


def test_what_is_held_is_the_worst_case_of_the_gates(network: TrainedNetwork, inputs: Array) -> None:
    tracer = Tracer(network)
    full, gated, skipped = (
        tracer.held(setting, inputs)
        for setting in (
            KnobSettings(),
            KnobSettings().with_rate("block", 0.5, 1e9),
            KnobSettings().with_rate("block", 1.0, 0.0),
        )
    )
    assert gated == full
    assert skipped.weights_resident_bytes < full.weights_resident_bytes
    assert skipped.peak_live_dense_bytes <= full.peak_live_dense_bytes
