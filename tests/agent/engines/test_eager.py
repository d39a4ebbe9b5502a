"""The eager engine on a small net whose blocks can be counted by hand."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from tidegate.engines.engine import Array, UnsupportedPoint
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.errors import BundleError
from tidegate.models.gates.activity import mean_abs
from tidegate.models.graph import INPUT, Node, Ref, Segment
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Activation, Activity, Figures, OperatingPoint, Precision, StandIn
from tidegate.models.network import TrainedNetwork

FIGURES = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)


@dataclass(frozen=True)
class Turned:
    thresholds: dict[str, float] = field(default_factory=dict)
    skip: frozenset[str] = frozenset()
    precision: Precision = Precision.FP32
    layer_precision: dict[str, Precision] = field(default_factory=dict)
    stand_ins: dict[str, StandIn] = field(default_factory=dict)
    exits: dict[str, float] = field(default_factory=dict)
    activity: Activity = Activity.MEAN_ABS
    activations: dict[str, Activation] = field(default_factory=dict)
    resolution: tuple[int, int] | None = None


def point(name: str = "p", **knobs: object) -> OperatingPoint:
    return OperatingPoint(name, "eager", FIGURES, **knobs)


@pytest.fixture(scope="module")
def modules() -> list[tuple[str, nn.Module]]:
    torch.manual_seed(0)
    return [
        ("stem", nn.Linear(6, 8)),
        ("first", nn.Sequential(nn.Linear(8, 8), nn.GELU())),
        ("second", nn.Sequential(nn.Linear(8, 8), nn.GELU())),
        ("head", nn.Linear(8, 3)),
    ]


@pytest.fixture(scope="module")
def network(modules: list[tuple[str, nn.Module]]) -> TrainedNetwork:
    return export_network(modules, torch.zeros(2, 6))


@pytest.fixture(scope="module")
def engine(network: TrainedNetwork) -> EagerEngine:
    return EagerEngine(network)


@pytest.fixture(scope="module")
def batch() -> Array:
    return np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)


def by_hand(modules: list[tuple[str, nn.Module]], sample: Array, knobs: Turned) -> tuple[Array, int]:
    """One sample with plain torch, and how many blocks ran."""
    parts = dict(modules)
    ran = 0
    with torch.no_grad():
        x = parts["stem"](torch.from_numpy(sample[None]))
        for block in ("first", "second"):
            open_ = block not in knobs.skip and x.abs().mean().item() > knobs.thresholds.get(block, -1.0)
            x = parts[block](x) if open_ else x
            ran += open_
        return parts["head"](x)[0].numpy(), ran


@pytest.mark.parametrize(
    "knobs",
    [
        Turned(),
        Turned(skip=frozenset({"first"})),
        Turned(thresholds={"first": 0.45}),
        Turned(thresholds={"first": 0.5, "second": 0.3}),
        Turned(thresholds={"second": 0.25}, skip=frozenset({"first"})),
        Turned(thresholds={"first": 1e9, "second": -1.0}),
    ],
)
def test_gating_in_a_batch_is_gating_each_sample(
    engine: EagerEngine, modules: list[tuple[str, nn.Module]], batch: Array, knobs: Turned
) -> None:
    answer = engine.prepare(point(thresholds=knobs.thresholds, skip=knobs.skip)).run(batch)
    expected = [by_hand(modules, sample, knobs) for sample in batch]
    assert np.allclose(answer.outputs, [outputs for outputs, _ in expected], atol=1e-5)
    assert answer.executed_blocks == sum(ran for _, ran in expected)
    assert answer.executed_blocks + answer.skipped_blocks == len(batch) * 2


def test_gates_of_this_test_open_for_some_and_not_for_others(engine: EagerEngine, batch: Array) -> None:
    answer = engine.prepare(point(thresholds={"first": 0.45})).run(batch)
    assert 0 < answer.skipped_blocks < len(batch)


def test_executed_blocks_are_counted_from_samples_computed(
    engine: EagerEngine, batch: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = {"first": 0, "second": 0, "stem": 0, "head": 0}
    original = Interpreter.__call__

    def counted(self: Interpreter, x: torch.Tensor) -> torch.Tensor:
        computed[self._segment.name] += len(x)
        return original(self, x)

    monkeypatch.setattr(Interpreter, "__call__", counted)
    answer = engine.prepare(point(thresholds={"first": 0.45, "second": 0.25})).run(batch)
    assert answer.executed_blocks == computed["first"] + computed["second"]


def test_batch_of_one_takes_the_same_decisions(engine: EagerEngine, batch: Array) -> None:
    variant = engine.prepare(point(thresholds={"first": 0.45, "second": 0.25}))
    together = variant.run(batch)
    alone = [variant.run(batch[i : i + 1]) for i in range(len(batch))]
    assert sum(answer.executed_blocks for answer in alone) == together.executed_blocks
    assert np.allclose(np.concatenate([answer.outputs for answer in alone]), together.outputs, atol=1e-5)


def test_mean_abs_is_the_mean_of_absolute_values() -> None:
    assert mean_abs(torch.tensor([[[1.0, -3.0]], [[0.0, 0.0]]])).tolist() == [2.0, 0.0]


def test_weights_held_are_counted_and_given_back(engine: EagerEngine, network: TrainedNetwork) -> None:
    full = engine.prepare(point())
    assert full.weights_resident_bytes == sum(array.nbytes for array in network.arrays.values())
    skipping = engine.prepare(point(skip=frozenset({"first"})))
    assert full.weights_resident_bytes - skipping.weights_resident_bytes == (8 * 8 + 8) * 4
    one_layer = engine.prepare(point(layer_precision={"first.0": Precision.INT8}))
    assert full.weights_resident_bytes - one_layer.weights_resident_bytes == 8 * 8 * 3 - 8 * 4
    full.release()
    assert full.weights_resident_bytes == 0
    with pytest.raises(RuntimeError, match="released"):
        full.run(np.zeros((1, 6), np.float32))


def test_read_only_input_is_taken_and_left_alone(engine: EagerEngine, batch: Array) -> None:
    frozen = np.frombuffer(batch.tobytes(), np.float32).reshape(batch.shape)
    before = frozen.copy()
    engine.prepare(point()).run(frozen)
    assert np.array_equal(frozen, before)


def test_threads_are_the_points(engine: EagerEngine, batch: Array) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            engine.prepare(point(threads=threads)).run(batch)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "mixing",
    [
        # One sample alone has the shape that it declares.
        Node("op", "aten.mean.dim", (Ref(INPUT), (0,), True), (6,)),
        Node("op", "aten.view.default", (Ref(INPUT), (1, 6)), (6,)),
    ],
)
def test_a_graph_that_mixes_samples_is_refused(mixing: Node) -> None:
    with pytest.raises(BundleError, match="segment only"):
        EagerEngine(TrainedNetwork((Segment("only", (6,), (mixing,)),), {}))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (point(skip=frozenset({"stem"})), "stem"),
        (point(thresholds={"nowhere": 1.0}), "nowhere"),
        (point(layer_precision={"first.9": Precision.INT8}), "first.9"),
        (OperatingPoint("p", "onnx", FIGURES), "certified on engine onnx, whose arithmetic is its own"),
        (
            OperatingPoint("p", "packed", FIGURES),
            "its engines are onnx, litert, mlx, coreml, coreai, eager",
        ),
    ],
)
def test_what_it_cannot_run_is_refused_by_name(engine: EagerEngine, wrong: OperatingPoint, named: str) -> None:
    with pytest.raises(UnsupportedPoint, match=named):
        engine.prepare(wrong)
