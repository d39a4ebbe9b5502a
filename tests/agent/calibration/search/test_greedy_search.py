"""The greedy chain on a tiny net, and the costs it is driven by."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.assemble.calibrate import fitted
from tidegate.calibration.certify.risk import mean_kl
from tidegate.calibration.knob_settings import KnobSettings, LayerGroup
from tidegate.calibration.search.cost import CostModel
from tidegate.calibration.search.goal import Knob
from tidegate.calibration.search.greedy_search import Search
from tidegate.calibration.search.moves import ExitMove, PrecisionMove, SkipMove
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.screening import SCREENING_SHARE
from tidegate.calibration.search.search_space import ALL_OR_NONE, RATES, SearchSpace, search_space_of
from tidegate.calibration.search.strategy import LEAST_LOSS
from tidegate.calibration.search.trials import Trials
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.graph.flops import segment_flops
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Precision, StandIn
from tidegate.models.network import TrainedNetwork


class Residual(nn.Module):
    """x + scale * f(x): the smaller the scale, the less a skip costs."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.relu(self.linear(x))


@pytest.fixture(scope="module")
def network() -> TrainedNetwork:
    torch.manual_seed(0)
    parts = [("vital", Residual(5.0)), ("idle", Residual(0.001)), ("head", nn.Linear(8, 3))]
    return export_network(parts, torch.zeros(2, 8))


@pytest.fixture(scope="module")
def inputs() -> Array:
    return np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)


OBJECTIVE = Objective(count_decisions=False)

GROUPS = (LayerGroup("blocks", ("vital.linear", "idle.linear")), LayerGroup("head", ("head",)))


def test_the_chain_starts_full_and_every_step_is_cheaper(network: TrainedNetwork, inputs: Array) -> None:
    chain = Search(network, SearchSpace.of(network, GROUPS), inputs, OBJECTIVE).chain()
    assert chain[0].setting == KnobSettings()
    assert chain[0].loss == 0
    costs = [OBJECTIVE.cost(step.cost) for step in chain]
    assert costs[0] == 1
    assert all(below < above for above, below in itertools.pairwise(costs))


def test_the_block_that_does_little_goes_first(network: TrainedNetwork, inputs: Array) -> None:
    chain = Search(network, SearchSpace.of(network, GROUPS), inputs, OBJECTIVE).chain()
    blocks = [step.move.block for step in chain if isinstance(step.move, SkipMove)]
    assert blocks[0] == "idle"
    assert "vital" not in blocks[: blocks.count("idle")]
    assert all(step.disagreement <= OBJECTIVE.max_disagreement for step in chain)


def test_each_step_turns_one_knob(network: TrainedNetwork, inputs: Array) -> None:
    chain = Search(network, SearchSpace.of(network, GROUPS), inputs, OBJECTIVE).chain()
    for above, below in itertools.pairwise(chain):
        rates = {b for b in ("vital", "idle") if above.setting.rates.get(b) != below.setting.rates.get(b)}
        precisions = {
            group.name
            for group in GROUPS
            if precision(above.setting, group.layers[0]) != precision(below.setting, group.layers[0])
        }
        assert len(rates) + len(precisions) == 1


def test_the_precisions_alone_are_the_beginning_of_the_chain(network: TrainedNetwork, inputs: Array) -> None:
    able = fitted(network, inputs).network
    search = Search(able, SearchSpace.of(able, GROUPS), inputs, OBJECTIVE)
    beginning, chain = search.precisions(), search.chain()
    assert chain[: len(beginning)] == beginning
    assert {type(step.move) for step in beginning[1:]} == {PrecisionMove}
    assert type(chain[len(beginning)].move) in (ExitMove, SkipMove)
    assert beginning[-1].disagreement <= LEAST_LOSS
    assert search.chain(found=beginning) == chain


def test_a_move_beyond_the_limit_leaves_room_for_one_within(network: TrainedNetwork, inputs: Array) -> None:
    """However much the other saves for what it loses."""
    strict = replace(OBJECTIVE, max_disagreement=0.0)
    chain = Search(network, SearchSpace.of(network), inputs, strict).chain()
    assert [step.move.block for step in chain if isinstance(step.move, SkipMove)][-1:] == ["idle"]
    assert chain[-1].disagreement == 0


def precision(setting: KnobSettings, layer: str) -> Precision:
    return setting.layer_precision.get(layer, setting.precision)


def test_a_threshold_skips_the_share_it_was_made_for(network: TrainedNetwork, inputs: Array) -> None:
    quarters = SearchSpace({"idle": (StandIn.IDENTITY,)}, rates=(0.0, 0.25))
    *_, quarter = Search(network, quarters, inputs, OBJECTIVE).chain()
    done = EagerEngine(network).build(quarter.setting).forward(inputs)
    assert quarter.setting.rates == {"idle": 0.25}
    assert done.executed["idle"] == pytest.approx(0.75 * len(inputs), abs=1)


def test_costs_count_what_ran_and_every_score(network: TrainedNetwork, inputs: Array) -> None:
    engine = EagerEngine(network)
    full = engine.build(KnobSettings())
    model = CostModel(network, full.weights_resident_bytes)
    block, head = 2 * 8 * 8, 2 * 8 * 3
    everything = 2 * block + head

    skipping = KnobSettings(skip=frozenset({"idle"}))
    built = engine.build(skipping)
    cost = model.cost(built, built.forward(inputs))
    assert cost.flops_ratio == pytest.approx((block + head) / everything)
    assert cost.resident_ratio == pytest.approx((8 * 8 + 8 + 8 * 3 + 3) / (2 * (8 * 8 + 8) + 8 * 3 + 3))

    never_open = KnobSettings(thresholds={"idle": 1e9})
    built = engine.build(never_open)
    cost = model.cost(built, built.forward(inputs))
    assert cost.flops_ratio == pytest.approx((block + head + 2 * 8) / everything)
    assert cost.resident_ratio == 1


def test_operations_of_a_convolution_are_counted_from_its_shapes() -> None:
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    network = export_network([("conv", conv)], torch.zeros(2, 4, 8, 8))
    segment = network.segments[0]
    assert segment_flops(segment, network.weight_shapes) == 2 * 6 * (4 // 2) * 9 * 4 * 4


def test_kl_is_zero_for_equal_logits_and_grows_with_their_distance() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32)
    assert mean_kl(logits, logits + 3) == pytest.approx(0, abs=1e-7)
    assert mean_kl(np.zeros((1, 2), np.float32), np.array([[np.log(3), 0.0]], np.float32)) == pytest.approx(
        0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    )


def test_a_screened_chain_is_measured_on_all_samples_and_gets_as_far(
    network: TrainedNetwork, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SearchSpace.of(network, GROUPS)
    monkeypatch.setattr("tidegate.calibration.data.batches.BATCH_BYTES", 20 * inputs[0].nbytes)
    whole = Search(network, space, inputs, OBJECTIVE).chain()
    monkeypatch.setattr("tidegate.calibration.search.screening.SCREENED_OPERATIONS", 0)
    screened = Search(network, space, inputs, OBJECTIVE).chain()
    reference = EagerEngine(network).build(KnobSettings()).forward(inputs).outputs
    for step in screened:
        outputs = EagerEngine(network).build(step.setting).forward(inputs).outputs
        assert step.disagreement == float(OBJECTIVE.risk.differ(reference, outputs).mean())
    costs = [OBJECTIVE.cost(step.cost) for step in screened]
    assert all(after < before for before, after in itertools.pairwise(costs))
    assert costs[-1] <= OBJECTIVE.cost(whole[-1].cost) + 0.05


def test_a_share_is_one_of_inputs_that_would_all_be_one_batch(
    network: TrainedNetwork, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Trials(network, inputs, OBJECTIVE)
    assert not trials.screened
    assert len(trials.cache.run(KnobSettings(), SCREENING_SHARE)[1].outputs) == len(inputs)
    monkeypatch.setattr("tidegate.calibration.search.screening.SCREENED_OPERATIONS", 0)
    trials = Trials(network, inputs, OBJECTIVE)
    assert trials.screened
    some = trials.cache.run(KnobSettings(), SCREENING_SHARE)[1].outputs
    assert len(some) == math.ceil(SCREENING_SHARE * len(inputs))


def test_of_many_blocks_of_a_large_network_each_runs_for_all_or_for_none(
    network: TrainedNetwork, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search_space_of(network, {Knob.BLOCKS}, inputs).rates == RATES
    monkeypatch.setattr("tidegate.calibration.search.screening.SCREENED_OPERATIONS", 0)
    assert search_space_of(network, {Knob.BLOCKS}, inputs).rates == RATES
    monkeypatch.setattr("tidegate.calibration.search.search_space.MANY_BLOCKS", 0)
    assert search_space_of(network, {Knob.BLOCKS}, inputs).rates == ALL_OR_NONE
