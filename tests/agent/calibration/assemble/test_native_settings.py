"""What calibration does for engines that compute in 8 bits: ranges that hold, and thresholds of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.assemble.calibrate import fitted
from tidegate.calibration.candidate import candidate
from tidegate.calibration.data.batches import answer_all
from tidegate.calibration.fit.cross_fitting import FOLDS, CrossFit
from tidegate.calibration.fit.exit_answers import exit_answers
from tidegate.calibration.fit.exit_heads import FittedExits
from tidegate.calibration.fit.histogram_observer import INPUT_NAME, HistogramObserver
from tidegate.calibration.fit.ridge import Linear
from tidegate.calibration.fit.threshold_calibration import stops_on_reference, with_calibrated_thresholds
from tidegate.calibration.knob_settings import KnobSettings, LayerGroup
from tidegate.calibration.measure.exit_times import ALWAYS
from tidegate.calibration.search.layer_groups import segment_groups_of, stage_groups_of
from tidegate.calibration.target_engine import NATIVE, TargetEngine, TargetEngineError, target_engines
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates.margin import margin
from tidegate.models.importing.export_network import export_network
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Precision, StandIn
from tidegate.models.network import TrainedNetwork, body_segments

SAMPLES = 80


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + x)


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((2, 3)))


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(SAMPLES, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def exits(inputs: np.ndarray) -> FittedExits:
    torch.manual_seed(0)
    parts = [
        ("stem", nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())),
        *((f"block_{i}", Residual(16)) for i in range(4)),
        ("head", Head()),
    ]
    return fitted(export_network(parts, torch.zeros(2, 3, 8, 8)), inputs)


@pytest.fixture(scope="module")
def network(exits: FittedExits) -> TrainedNetwork:
    return exits.network


@pytest.fixture(scope="module", params=NATIVE)
def target(request: pytest.FixtureRequest) -> TargetEngine:
    (found,) = target_engines([request.param])
    return found


def seen_at(
    network: TrainedNetwork, setting: KnobSettings, inputs: np.ndarray, block: str
) -> tuple[Tensor, Tensor]:
    """Margins of the exit before a block, and the activity there, for all samples on eager."""
    before = network.segments[: [segment.name for segment in network.segments].index(block)]
    body = TrainedNetwork(before, network.arrays, network.stand_ins)
    head = TrainedNetwork((network.exit_heads[block],), network.arrays)
    skip = setting.skip & {segment.name for segment in before}
    stand_ins = {name: setting.stand_ins[name] for name in skip}
    x = EagerEngine(body).build(KnobSettings(skip=skip, stand_ins=stand_ins)).forward(inputs).outputs
    answers = EagerEngine(head).build(KnobSettings()).forward(x).outputs
    return margin(torch.from_numpy(answers)), torch.from_numpy(x).abs().mean((1, 2, 3))


@pytest.fixture(scope="module")
def setting(network: TrainedNetwork, inputs: np.ndarray) -> KnobSettings:
    """A skip with its stand-in, two exits and a gate, each in the middle of what eager sees there."""
    plain = KnobSettings(skip=frozenset({"block_1"}), stand_ins={"block_1": StandIn.SURROGATE})
    exits = {block: float(seen_at(network, plain, inputs, block)[0].median()) for block in ("block_1", "block_2")}
    tau = float(seen_at(network, plain, inputs, "block_3")[1].median())
    return replace(plain, precision=Precision.INT8, exits=exits, thresholds={"block_3": tau})


def test_ranges_name_everything_that_runs_within_what_is_seen_of_it(
    network: TrainedNetwork, inputs: np.ndarray, setting: KnobSettings
) -> None:
    finder = HistogramObserver(network, inputs)
    ranges, full = finder.ranges(setting), finder.ranges(KnobSettings())
    least, most, *_ = ranges[INPUT_NAME]
    assert inputs.min() <= least < most <= inputs.max()
    stand_in = network.stand_ins["block_1"][StandIn.SURROGATE]
    way = [stand_in, network.exit_heads["block_2"], *(s for s in network.segments if s.name != "block_1")]
    assert {f"{graph.name}/{node.name}" for graph in way for node in graph.nodes} <= ranges.keys()
    # Behind the stand-in other values come than in the full network, and what no path computes has the full one's.
    last = network.segments[2].nodes[-1].name
    assert ranges[f"block_2/{network.segments[3].nodes[-1].name}"] != full[f"block_2/{last}"]
    assert ranges[f"block_1/{last}"] == full[f"block_1/{last}"]


def test_on_the_engines_own_values_as_many_samples_stop_as_in_eager(
    network: TrainedNetwork, inputs: np.ndarray, setting: KnobSettings, target: TargetEngine
) -> None:
    ready = replace(setting, ranges=HistogramObserver(network, inputs).ranges(setting))
    found = with_calibrated_thresholds(network, ready, inputs, target, stops_on_reference(network, ready, inputs))
    expected = EagerEngine(network).build(setting).forward(inputs).executed
    answered = answer_all(target.over(network).prepare(candidate(found, target.name)), inputs)
    # A value on the very threshold may fall to either side of it when the pieces are joined.
    assert abs(answered.executed_blocks - sum(expected.values())) <= 0.03 * SAMPLES * len(expected)
    assert found.exits.keys() == setting.exits.keys()
    assert found.exits != setting.exits


def test_for_eager_itself_the_same_samples_stop(
    network: TrainedNetwork, inputs: np.ndarray, setting: KnobSettings
) -> None:
    (eager,) = target_engines(["eager"])
    found = with_calibrated_thresholds(
        network, setting, inputs, eager, stops_on_reference(network, setting, inputs)
    )
    before, after = (EagerEngine(network).build(each).forward(inputs) for each in (setting, found))
    assert np.array_equal(before.outputs, after.outputs)
    assert before.executed == after.executed


def test_exits_are_judged_by_what_the_engine_itself_answers_there(
    exits: FittedExits, inputs: np.ndarray, target: TargetEngine
) -> None:
    """With the network's own head in the place of those that judge it, the judge sees what a point answers."""
    network, head = exits.network, exits.network.exit_heads["block_2"]
    weight, bias = (network.arrays[f"block_2.exit.{name}"] for name in ("weight", "bias"))
    judge = replace(exits.heads["block_2"], fit=CrossFit((Linear(weight, bias),) * FOLDS))
    plain = KnobSettings(precision=Precision.INT8)
    leaving = plain.with_exit("block_2", 1.0, ALWAYS, head.layers)
    ranged = replace(plain, ranges=HistogramObserver(network, inputs).ranges(plain))
    seen = exit_answers(replace(exits, heads={"block_2": judge}), ranged, inputs, target)
    point = candidate(replace(leaving, ranges=ranged.ranges), target.name)
    own = answer_all(target.over(network).prepare(point), inputs).outputs
    # What leaves a partition is not rounded to 8 bits any more.
    assert np.allclose(seen.exits["block_2"], own, atol=2e-3)
    whole = answer_all(target.over(network).prepare(candidate(ranged, target.name)), inputs).outputs
    assert np.allclose(seen.end, whole, atol=0.05)


def test_heads_of_exits_stay_in_fp32(network: TrainedNetwork) -> None:
    head = network.exit_heads["block_1"]
    groups = [*stage_groups_of(network), *segment_groups_of(network)]
    assert not {layer for group in groups for layer in group.layers} & set(head.layers)
    layers = frozenset(layer for segment in body_segments(network) for layer in segment.layers)
    every = LayerGroup("all", tuple(layers))
    before = KnobSettings().with_precision(every, Precision.INT8).normal(layers)
    after = KnobSettings().with_exit("block_1", 0.5, 0.9, head.layers)
    for setting in (
        before.with_exit("block_1", 0.5, 0.9, head.layers),
        after.with_precision(every, Precision.INT8).normal(layers),
    ):
        assert {precision_of(setting, layer) for layer in head.layers} == {Precision.FP32}
        assert {precision_of(setting, layer) for layer in layers} == {Precision.INT8}


def test_a_setting_in_fp32_is_a_point_of_every_engine_and_one_in_int8_is_not(setting: KnobSettings) -> None:
    assert candidate(setting, "onnx").engine == "onnx"
    assert candidate(replace(setting, precision=Precision.FP32), "onnx").engine == "eager"


def test_an_engine_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(TargetEngineError, match="allowed are auto, onnx, litert, eager"):
        target_engines(["packed"])
