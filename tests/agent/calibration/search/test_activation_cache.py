"""A trial that starts where it first differs gives, bit by bit, what a run from the start gives."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from tidegate.calibration.assemble.calibrate import fitted
from tidegate.calibration.data.digits.net import DigitsNet
from tidegate.calibration.data.passes import forward_all
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.search.activation_cache import ActivationCache
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates import GateInput
from tidegate.models.gates.activity import mean_abs
from tidegate.models.importing.discovery import discover
from tidegate.models.ladder import Activation, Activity, Precision, StandIn
from tidegate.models.network import TrainedNetwork, blocks_of

SAMPLES = 40


@pytest.fixture(scope="module")
def inputs() -> Array:
    return np.random.default_rng(0).random((SAMPLES, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def network(inputs: Array) -> TrainedNetwork:
    torch.manual_seed(0)
    return fitted(discover(DigitsNet((8, 16), (2, 2)).eval(), torch.zeros(2, 1, 8, 8)).network, inputs).network


def settings(network: TrainedNetwork) -> list[KnobSettings]:
    """Every knob, early and late, and back again."""
    first, second, *_, last = (block.name for block in blocks_of(network))
    layer = network.segments[-2].layers[0]
    gated = KnobSettings(
        thresholds={second: 0.4}, stand_ins={second: StandIn.AFFINE}, activity=Activity.BLOCK_CHANGE
    )
    return [
        KnobSettings(),
        KnobSettings(exits={last: 0.05}),
        KnobSettings(exits={last: 0.05}, skip=frozenset({last})),
        KnobSettings(exits={second: 0.02, last: 0.01}),
        KnobSettings(exits={second: 0.0}),
        gated,
        KnobSettings(layer_precision={layer: Precision.INT8}),
        KnobSettings(precision=Precision.INT8),
        KnobSettings(skip=frozenset({first}), stand_ins={first: StandIn.SURROGATE}),
        KnobSettings(activations={f"{last}.{network.segments[-2].nodes[-1].name}": Activation(threshold=0.1)}),
        KnobSettings(resolution=(6, 6)),
        KnobSettings(),
    ]


@pytest.mark.parametrize("kept_bytes", [0, 3 * SAMPLES * 8 * 64 * 4, 2**30])
def test_what_is_taken_over_changes_no_bit(network: TrainedNetwork, inputs: Array, kept_bytes: int) -> None:
    engine = EagerEngine(network)
    cache = ActivationCache(network, inputs, kept_bytes)
    for kept, tried in pairwise(settings(network)):
        cache.keep(kept)
        built, done = cache.run(tried)
        fresh = engine.build(tried)
        expected = forward_all(fresh, inputs)
        assert np.array_equal(done.outputs, expected.outputs)
        assert (done.executed, done.flops, done.decisions) == (
            expected.executed,
            expected.flops,
            expected.decisions,
        )
        assert built.weights_resident_bytes == fresh.weights_resident_bytes


def test_on_a_share_the_first_batches_are_run(
    network: TrainedNetwork, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.calibration.data.batches.BATCH_BYTES", 8 * inputs[0].nbytes)
    cache = ActivationCache(network, inputs)
    for setting in settings(network):
        whole = cache.keep(setting)[1].outputs
        part = cache.run(setting, 0.25)[1].outputs
        assert len(part) == 16
        assert np.array_equal(part, whole[:16])


def test_what_gates_see_is_shown_from_where_a_setting_differs(
    network: TrainedNetwork, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.calibration.data.batches.BATCH_BYTES", 16 * inputs[0].nbytes)
    names = [segment.name for segment in network.segments]
    cache = ActivationCache(network, inputs)
    known: dict[str, list[float]] = {}
    for setting in settings(network):
        if setting.activity is not Activity.MEAN_ABS:
            cache.keep(setting)
            continue
        fresh, shown = Seeing(), Seeing()
        ActivationCache(network, inputs).watch(setting, fresh)
        first = cache.watch(setting, shown)
        assert not shown.scores.keys() & set(names[:first])
        known = {name: scores for name, scores in known.items() if name in names[:first]} | shown.scores
        assert known == fresh.scores


class Seeing:
    """Notes what it is shown, by block."""

    def __init__(self) -> None:
        self.scores: dict[str, list[float]] = {}

    def __call__(self, block: str, seen: GateInput) -> None:
        self.scores.setdefault(block, []).extend(mean_abs(seen.x).tolist())


def test_a_knob_at_the_end_runs_only_the_end(
    network: TrainedNetwork, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ActivationCache(network, inputs)
    cache.keep(KnobSettings())
    monkeypatch.setattr("tidegate.engines.reference.staged.StagedNetwork.start", None)
    *_, last = (block.name for block in blocks_of(network))
    _, done = cache.run(KnobSettings(skip=frozenset({last})))
    assert done.executed[last] == 0
    with pytest.raises(TypeError, match="not callable"):
        cache.run(KnobSettings(precision=Precision.INT8))
