"""A trial that starts where it first differs gives, bit by bit, what a run from the start gives."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from tidegate.calibration.batches import run
from tidegate.calibration.calibrate import fitted
from tidegate.calibration.digits.net import DigitsNet
from tidegate.calibration.prefixes import Prefixes
from tidegate.calibration.setting import Setting
from tidegate.engines.eager import EagerEngine
from tidegate.engines.engine import Array
from tidegate.models.discovery import discover
from tidegate.models.gates import Seen
from tidegate.models.gates.activity import mean_abs
from tidegate.models.ladder import Activation, Activity, Precision, StandIn
from tidegate.models.network import TrainedNetwork, blocks_of

SAMPLES = 40


@pytest.fixture(scope="module")
def inputs() -> Array:
    return np.random.default_rng(0).random((SAMPLES, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def network(inputs: Array) -> TrainedNetwork:
    torch.manual_seed(0)
    return fitted(discover(DigitsNet((8, 16), (2, 2)).eval(), torch.zeros(2, 1, 8, 8)).network, inputs)


def settings(network: TrainedNetwork) -> list[Setting]:
    """Every knob, early and late, and back again."""
    first, second, *_, last = (block.name for block in blocks_of(network))
    layer = network.segments[-2].layers[0]
    gated = Setting(thresholds={second: 0.4}, stand_ins={second: StandIn.AFFINE}, activity=Activity.BLOCK_CHANGE)
    return [
        Setting(),
        Setting(exits={last: 0.05}),
        Setting(exits={last: 0.05}, skip=frozenset({last})),
        Setting(exits={second: 0.02, last: 0.01}),
        Setting(exits={second: 0.0}),
        gated,
        Setting(layer_precision={layer: Precision.INT8}),
        Setting(precision=Precision.INT8),
        Setting(skip=frozenset({first}), stand_ins={first: StandIn.SURROGATE}),
        Setting(activations={f"{last}.{network.segments[-2].nodes[-1].name}": Activation(threshold=0.1)}),
        Setting(resolution=(6, 6)),
        Setting(),
    ]


@pytest.mark.parametrize("kept_bytes", [0, 3 * SAMPLES * 8 * 64 * 4, 2**30])
def test_what_is_taken_over_changes_no_bit(network: TrainedNetwork, inputs: Array, kept_bytes: int) -> None:
    engine = EagerEngine(network)
    prefixes = Prefixes(network, inputs, kept_bytes)
    for kept, tried in pairwise(settings(network)):
        prefixes.keep(kept)
        built, done = prefixes.run(tried)
        fresh = engine.build(tried)
        expected = run(fresh, inputs)
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
    monkeypatch.setattr("tidegate.calibration.batches.BATCH_BYTES", 8 * inputs[0].nbytes)
    prefixes = Prefixes(network, inputs)
    for setting in settings(network):
        whole = prefixes.keep(setting)[1].outputs
        part = prefixes.run(setting, 0.25)[1].outputs
        assert len(part) == 16
        assert np.array_equal(part, whole[:16])


def test_what_gates_see_is_shown_from_where_a_setting_differs(
    network: TrainedNetwork, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.calibration.batches.BATCH_BYTES", 16 * inputs[0].nbytes)
    names = [segment.name for segment in network.segments]
    prefixes = Prefixes(network, inputs)
    known: dict[str, list[float]] = {}
    for setting in settings(network):
        if setting.activity is not Activity.MEAN_ABS:
            prefixes.keep(setting)
            continue
        fresh, shown = Seeing(), Seeing()
        Prefixes(network, inputs).watch(setting, fresh)
        first = prefixes.watch(setting, shown)
        assert not shown.scores.keys() & set(names[:first])
        known = {name: scores for name, scores in known.items() if name in names[:first]} | shown.scores
        assert known == fresh.scores


class Seeing:
    """Notes what it is shown, by block."""

    def __init__(self) -> None:
        self.scores: dict[str, list[float]] = {}

    def __call__(self, block: str, seen: Seen) -> None:
        self.scores.setdefault(block, []).extend(mean_abs(seen.x).tolist())


def test_a_knob_at_the_end_runs_only_the_end(
    network: TrainedNetwork, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefixes = Prefixes(network, inputs)
    prefixes.keep(Setting())
    monkeypatch.setattr("tidegate.engines.staged.StagedNetwork.start", None)
    *_, last = (block.name for block in blocks_of(network))
    _, done = prefixes.run(Setting(skip=frozenset({last})))
    assert done.executed[last] == 0
    with pytest.raises(TypeError, match="not callable"):
        prefixes.run(Setting(precision=Precision.INT8))
