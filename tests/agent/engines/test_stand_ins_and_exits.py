"""Stand-ins and exits in the eager engine, against the same done by hand, sample by sample."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tidegate.calibration.assemble.calibrate import fitted
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array, UnsupportedPoint
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.gates.activity import mean_abs
from tidegate.models.gates.margin import margin
from tidegate.models.graph import Segment
from tidegate.models.graph.flops import segment_flops
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Activity, StandIn
from tidegate.models.network import TrainedNetwork
from tidegate.models.precision import Fp32Weight


@pytest.fixture(scope="module")
def batch() -> Array:
    return np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def network(batch: Array) -> TrainedNetwork:
    torch.manual_seed(0)
    parts = [
        ("stem", nn.Linear(6, 8)),
        ("first", nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8))),
        ("second", nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8))),
        ("head", nn.Linear(8, 3)),
    ]
    return fitted(export_network(parts, torch.zeros(2, 6)), batch).network


def runs(network: TrainedNetwork, segment: Segment) -> Interpreter:
    return Interpreter(segment, {n: Fp32Weight(torch.tensor(network.arrays[n])) for n in segment.weights})


SETTING = KnobSettings(
    thresholds={"first": 0.45},
    stand_ins={"first": StandIn.SURROGATE, "second": StandIn.AFFINE},
    skip=frozenset({"second"}),
    exits={"second": 0.05},
)


def by_hand(network: TrainedNetwork, sample: Array) -> tuple[Array, int, int]:
    """The answer, how many blocks ran, and the operations it took."""
    stem, first, _, head = network.segments
    surrogate = network.stand_ins["first"][StandIn.SURROGATE]
    affine = network.stand_ins["second"][StandIn.AFFINE]
    flops = segment_flops(stem, network.weight_shapes)
    x = runs(network, stem)(torch.from_numpy(sample[None]))
    opened = mean_abs(x).item() > SETTING.thresholds["first"]
    taken = first if opened else surrogate
    flops += 2 * 8 + segment_flops(taken, network.weight_shapes)
    x = runs(network, taken)(x)
    answer = runs(network, network.exit_heads["second"])(x)
    flops += segment_flops(network.exit_heads["second"], network.weight_shapes)
    if margin(answer).item() <= SETTING.exits["second"]:
        answer = runs(network, head)(runs(network, affine)(x))
        flops += segment_flops(affine, network.weight_shapes) + segment_flops(head, network.weight_shapes)
    return answer.detach().numpy()[0], int(opened), flops


def test_every_sample_goes_its_own_way(network: TrainedNetwork, batch: Array) -> None:
    done = EagerEngine(network).build(SETTING).forward(batch)
    with torch.no_grad():
        expected = [by_hand(network, sample) for sample in batch]
    assert np.allclose(done.outputs, [answer for answer, _, _ in expected], atol=1e-5)
    assert done.executed == {"first": sum(ran for _, ran, _ in expected), "second": 0}
    assert done.flops == sum(flops for _, _, flops in expected)


def test_this_test_has_samples_on_every_way(network: TrainedNetwork, batch: Array) -> None:
    engine = EagerEngine(network)
    gated = engine.build(replace(SETTING, exits={})).forward(batch)
    assert 0 < gated.executed["first"] < len(batch)
    outputs = engine.build(SETTING).forward(batch).outputs
    left = (gated.outputs != outputs).any(1).sum()
    assert 0 < left < len(batch)


def test_alone_and_together_give_the_same(network: TrainedNetwork, batch: Array) -> None:
    built = EagerEngine(network).build(SETTING)
    together = built.forward(batch)
    alone = [built.forward(sample[None]) for sample in batch]
    assert np.allclose(np.concatenate([done.outputs for done in alone]), together.outputs, atol=1e-5)
    assert sum(done.flops for done in alone) == together.flops


def test_all_may_leave_at_the_first_exit(network: TrainedNetwork, batch: Array) -> None:
    done = EagerEngine(network).build(KnobSettings(exits={"first": 0.0})).forward(batch)
    assert done.executed == {"first": 0, "second": 0}
    assert done.outputs.shape == (len(batch), 3)


def test_a_skipped_block_is_not_in_memory_but_its_stand_in_is(network: TrainedNetwork) -> None:
    engine = EagerEngine(network)
    full = engine.build(KnobSettings()).weights_resident_bytes
    skipping = KnobSettings(skip=frozenset({"first"}), stand_ins={"first": StandIn.AFFINE})
    saved = full - engine.build(skipping).weights_resident_bytes
    assert saved == 4 * ((8 * 32 + 32) + (32 * 8 + 8) - 2 * 8)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (KnobSettings(skip=frozenset({"first"}), stand_ins={"first": StandIn.SHORTCUT}), "no stand-in shortcut"),
        (KnobSettings(stand_ins={"stem": StandIn.AFFINE}), "are not blocks"),
        (KnobSettings(exits={"stem": 0.5}), "have no exit"),
    ],
)
def test_ways_that_there_are_not_are_refused(network: TrainedNetwork, setting: KnobSettings, words: str) -> None:
    with pytest.raises(UnsupportedPoint, match=words):
        EagerEngine(network).build(setting)


@pytest.mark.parametrize("activity", list(Activity))
def test_every_activity_gates_a_net(network: TrainedNetwork, batch: Array, activity: Activity) -> None:
    """Above all scores nothing runs but what has no score yet; below all everything does."""
    engine = EagerEngine(network)
    shut = engine.build(KnobSettings(thresholds={"second": 1e9}, activity=activity)).forward(batch)
    opened = engine.build(KnobSettings(thresholds={"second": -1.0}, activity=activity)).forward(batch)
    unscored = 1 if activity is Activity.FRAME_CHANGE else 0
    assert (shut.executed["second"], opened.executed["second"]) == (unscored, len(batch))
