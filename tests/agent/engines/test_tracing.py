"""Activation tensors, their lives and their bytes, against nets small enough to count by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array, UnsupportedPoint
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Activation, Precision
from tidegate.models.network import TrainedNetwork


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + x)


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


@pytest.fixture(scope="module")
def network() -> TrainedNetwork:
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.SiLU())
    return export_network([("stem", stem), ("block", Residual()), ("head", Head())], torch.zeros(2, 1, 6, 6))


@pytest.fixture(scope="module")
def inputs() -> Array:
    return np.random.default_rng(0).normal(size=(70, 1, 6, 6)).astype(np.float32)


def test_fused_values_and_views_are_not_stored(network: TrainedNetwork) -> None:
    stem, block, head = (activation_tensors_of(segment) for segment in network.segments)
    assert [(tensor.is_activation, tensor.floor) for tensor in stem] == [(True, -0.2785)]
    assert [(tensor.is_activation, tensor.floor) for tensor in block] == [(True, 0.0), (True, 0.0)]
    assert [tensor.elements for tensor in head] == [4, 3]
    assert [tensor.floor for tensor in head] == [None, None]


def test_peak_is_the_shortcut_the_branch_and_the_result(network: TrainedNetwork, inputs: Array) -> None:
    trace = Tracer(network).trace(KnobSettings(), inputs)
    assert trace.peak_live_dense_bytes == 3 * 4 * 36 * 4
    assert trace.peak_segment == "block"


def test_bits_make_live_values_smaller_by_their_share(network: TrainedNetwork, inputs: Array) -> None:
    tracer = Tracer(network)
    eight = {tensor.name: Activation(clip=4.0, bits=8) for tensor in tracer.activation_tensors}
    trace = tracer.trace(KnobSettings(activations=eight), inputs)
    assert trace.peak_live_dense_bytes == 3 * 4 * 36
    assert trace.peak_live_encoded_bytes <= trace.peak_live_dense_bytes
    sparse = {name: Activation(threshold=3.99, clip=4.0, bits=8) for name in eight}
    assert tracer.trace(KnobSettings(activations=sparse), inputs).peak_live_encoded_bytes < 3 * 4 * 36 // 2


def test_encoded_peak_is_counted_from_zeros_of_the_worst_sample(network: TrainedNetwork, inputs: Array) -> None:
    tracer = Tracer(network)
    seen: dict[str, list[Tensor]] = {}
    setting = KnobSettings(
        activations={tensor.name: Activation(clip=2.0, bits=4) for tensor in tracer.activation_tensors}
    )
    trace = tracer.trace(setting, inputs, lambda tensor, values: seen.setdefault(tensor.name, []).append(values))
    zeros = {name: (torch.cat(chunks) == 0).flatten(1).sum(1) for name, chunks in seen.items()}
    stem, *block = [tensor.name for tensor in tracer.activation_tensors][:3]
    per_sample = [
        sum(min(72, 18 + -(-(144 - int(zeros[name][i])) * 4 // 8)) for name in (stem, *block)) for i in range(70)
    ]
    assert trace.peak_live_encoded_bytes == max(per_sample)


def test_outputs_and_weights_are_the_engine_s(network: TrainedNetwork, inputs: Array) -> None:
    for setting in (
        KnobSettings(),
        KnobSettings(precision=Precision.INT4),
        KnobSettings(skip=frozenset({"block"})),
        KnobSettings(activations={"block.relu": Activation(threshold=0.3, clip=1.0, bits=5)}, resolution=(4, 4)),
    ):
        trace = Tracer(network).trace(setting, inputs)
        built = EagerEngine(network).build(setting)
        assert np.allclose(trace.outputs, built.forward(inputs).outputs, atol=1e-5)
        assert trace.weights_resident_bytes == built.weights_resident_bytes


def test_neutral_activations_leave_the_engine_s_answers_bit_identical(
    network: TrainedNetwork, inputs: Array
) -> None:
    engine = EagerEngine(network)
    original = engine.build(KnobSettings()).forward(inputs).outputs
    neutral = {tensor.name: Activation() for tensor in Tracer(network).activation_tensors}
    assert np.array_equal(engine.build(KnobSettings(activations=neutral)).forward(inputs).outputs, original)


def test_a_smaller_resolution_needs_less_and_an_impossible_one_is_refused(
    network: TrainedNetwork, inputs: Array
) -> None:
    assert Tracer(network).trace(KnobSettings(resolution=(3, 3)), inputs).peak_live_dense_bytes == 3 * 4 * 9 * 4
    flat = export_network([("head", nn.Sequential(nn.Flatten(), nn.Linear(36, 3)))], torch.zeros(2, 1, 6, 6))
    with pytest.raises(UnsupportedPoint, match=r"resolution \(3, 3\): segment head"):
        EagerEngine(flat).build(KnobSettings(resolution=(3, 3)))


def test_gates_and_unknown_values_are_refused(network: TrainedNetwork, inputs: Array) -> None:
    with pytest.raises(UnsupportedPoint, match="block"):
        Tracer(network).trace(KnobSettings(thresholds={"block": 1.0}), inputs)
    with pytest.raises(UnsupportedPoint, match=r"block\.nothing"):
        EagerEngine(network).build(KnobSettings(activations={"block.nothing": Activation()}))


class Scaled(nn.Module):
    """By one number per sample, which is a value without any other dimension."""

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.flatten(x, 1)
        return flat * torch.sigmoid(flat.mean(1)).unsqueeze(1)


def test_a_value_of_one_number_a_sample_has_its_bytes() -> None:
    alone = export_network([("scaled", Scaled())], torch.zeros(2, 1, 6, 6))
    trace = Tracer(alone).trace(KnobSettings(), np.ones((3, 1, 6, 6), np.float32))
    assert trace.peak_live_dense_bytes == (36 + 1 + 36) * 4
