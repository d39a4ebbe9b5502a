"""AdaptiveActivation's knobs on a real net, small enough to see what each does."""

import numpy as np
import pytest
import torch
from torch import nn

from tidegate.calibration.fit.activation_statistics import (
    ActivationStatistics,
    collect_statistics,
    sampled,
    uniform,
)
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Activation, Precision
from tidegate.models.network import TrainedNetwork
from tidegate_bench.adaptive_activation.knobs import (
    BitsKnob,
    Choice,
    ResolutionKnob,
    ThreadsKnob,
    TogetherKnob,
    WeightKnob,
    ZerosKnob,
    coarse_knobs,
    memory_knobs,
    uniform_int8,
)
from tidegate_bench.adaptive_activation.problem import Adaptive, Data
from tidegate_bench.adaptive_activation.selection import exhaustive, greedy
from tidegate_bench.adaptive_activation.sensitivity import rank_list, sensitivities


@pytest.fixture(scope="module")
def network() -> TrainedNetwork:
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
    deep = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return export_network([("stem", stem), ("deep", deep), ("head", head)], torch.zeros(2, 1, 8, 8))


@pytest.fixture(scope="module")
def inputs() -> Array:
    return np.random.default_rng(0).normal(size=(60, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def statistics(network: TrainedNetwork, inputs: Array) -> dict[str, ActivationStatistics]:
    return dict(collect_statistics(Tracer(network), inputs))


def problem(
    network: TrainedNetwork, inputs: Array, statistics: dict[str, ActivationStatistics], coarse: bool
) -> Adaptive:
    tracer = Tracer(network)
    reference = tracer.trace(KnobSettings(), inputs).outputs
    knobs = (coarse_knobs if coarse else memory_knobs)(network.segments, statistics)
    return Adaptive(tracer, Choice(uniform_int8(statistics)), knobs, Data(inputs, None), reference)


def test_thresholds_cut_the_share_asked_for(
    network: TrainedNetwork, inputs: Array, statistics: dict[str, ActivationStatistics]
) -> None:
    found = statistics["stem.relu"]
    zeros: list[float] = []

    def count(tensor: object, values: torch.Tensor) -> None:
        if tensor == found.tensor:
            zeros.append(float((values == 0).float().mean()))

    tracer = Tracer(network)
    for share in (0.0, 0.5):
        setting = KnobSettings(activations={"stem.relu": Activation(found.threshold(share))})
        tracer.trace(setting, inputs, count)
    natural, cut = zeros
    assert cut == pytest.approx(natural + (1 - natural) / 2, abs=0.02)


def test_fewer_bits_take_a_narrower_clip_and_thresholds_stay_behind_activation_functions(
    statistics: dict[str, ActivationStatistics],
) -> None:
    found = statistics["stem.relu"]
    assert found.clip(3) <= found.clip(8) <= float(found.sample.max())
    settings = uniform(statistics, 8, 0.3)
    assert {name for name, setting in settings.items() if setting.threshold > 0} == {"stem.relu", "deep.relu"}


def test_knobs_turn_their_own_thing_and_leave_the_rest(statistics: dict[str, ActivationStatistics]) -> None:
    found = statistics["stem.relu"]
    start = Choice(uniform_int8(statistics))
    zeros, bits = ZerosKnob(found), BitsKnob(found)
    both = bits.turned(zeros.turned(start, 2), 3)
    assert both.setting.activations["stem.relu"] == Activation(found.threshold(0.2), found.clip(4), 4)
    assert both == zeros.turned(bits.turned(start, 3), 2)
    together = TogetherKnob("both", (bits, zeros))
    assert together.size == 5
    assert together.turned(start, 2) == zeros.turned(bits.turned(start, 2), 2)
    assert WeightKnob("stem.0").turned(start, 1).setting.layer_precision == {"stem.0": Precision.INT4}
    assert ResolutionKnob(((8, 8), (4, 4))).turned(start, 1).setting.resolution == (4, 4)
    assert ThreadsKnob((1, 2)).turned(start, 1).threads == 2


def test_greedy_meets_a_memory_target_that_is_measured_not_promised(
    network: TrainedNetwork, inputs: Array, statistics: dict[str, ActivationStatistics]
) -> None:
    found = problem(network, inputs, statistics, coarse=False)
    start = found.measure((0,) * len(found.sizes))
    selection = greedy(found, start.cost * 0.7, max_risk=0.5)
    reached = selection.reaching(start.cost * 0.7)
    assert reached is not None
    trace = Tracer(network).trace(found.choice(reached.positions).setting, inputs)
    assert trace.model_bytes == reached.trial.cost <= start.cost * 0.7


def test_the_optimum_of_the_coarse_problem_is_no_worse_than_greedy(
    network: TrainedNetwork, inputs: Array, statistics: dict[str, ActivationStatistics]
) -> None:
    found = problem(network, inputs, statistics, coarse=True)
    target = found.measure((0,) * len(found.sizes)).cost * 0.75
    reached, optimum = greedy(found, target, 1.0).reaching(target), exhaustive(found, target, 1.0)
    assert reached is not None
    assert optimum is not None
    assert optimum.trial.loss <= reached.trial.loss


def test_sensitivity_covers_every_layer_value_and_block(
    network: TrainedNetwork, inputs: Array, statistics: dict[str, ActivationStatistics]
) -> None:
    found = sensitivities(network, statistics, Data(inputs[:20], None))
    scopes = {(one.knob, one.scope) for one in found}
    layers = {layer for segment in network.segments for layer in segment.layers}
    assert {scope for knob, scope in scopes if knob == "weights"} == layers
    assert {scope for knob, scope in scopes if knob == "simulated weights"} == layers
    assert {scope for knob, scope in scopes if knob == "bits"} == statistics.keys()
    assert {scope for knob, scope in scopes if knob == "zeros"} == {"stem.relu", "deep.relu"}
    assert {scope for knob, scope in scopes if knob == "block"} == {"stem", "deep", "head"}
    by_bits = {one.value: one.loss for one in found if (one.knob, one.scope) == ("simulated weights", "stem.0")}
    assert by_bits["2 bit"] > by_bits["8 bit"]
    ranked = [one.loss_per_mib for one in rank_list(found)]
    assert ranked == sorted(ranked)
    assert None not in ranked


def test_sampling_is_even_and_never_more_than_there_is(inputs: Array) -> None:
    assert len(sampled(inputs, 7)) == 7
    assert sampled(inputs, 100) is inputs
