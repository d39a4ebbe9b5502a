"""A channel with next to no weights and a bias: its layer stays on integers, and answers."""

import numpy as np
import pytest
import torch
from torch import nn

from tidegate.calibration.candidate import candidate
from tidegate.calibration.fit.histogram_observer import HistogramObserver
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import NATIVE, target_engines
from tidegate.engines.plan.quantization import MAX_BIAS_CODE, quantize_weight, with_room_for_bias
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Precision


def test_only_channels_whose_bias_has_no_code_are_coarser() -> None:
    weight = quantize_weight(np.array([[0.5, -1.0], [1e-12, 3e-13], [0.0, 0.0]], np.float32), 119)
    bias = np.array([3.0, -2.0, 1e10], np.float32)
    found = with_room_for_bias(weight, bias, 0.01)
    assert np.array_equal(found.codes[0], weight.codes[0])
    assert found.scales[0] == weight.scales[0]
    assert not found.codes[1:].any()
    assert (np.abs(bias / (found.scales.astype(np.float64) * 0.01)) <= MAX_BIAS_CODE).all()
    assert with_room_for_bias(weight, np.zeros(3, np.float32), 0.01) is weight


@pytest.mark.parametrize("name", NATIVE)
def test_a_channel_without_weights_answers_with_its_bias(name: str) -> None:
    torch.manual_seed(2)
    conv = nn.Conv2d(3, 8, 3)
    with torch.no_grad():
        conv.weight[3] *= 1e-13
        conv.bias[3] = 1.5
    net = [("body", nn.Sequential(conv, nn.Conv2d(8, 4, 3), nn.Flatten()))]
    inputs = np.random.default_rng(2).standard_normal((40, 3, 8, 8)).astype(np.float32)
    network = export_network(net, torch.from_numpy(inputs[:2]))
    (target,) = target_engines([name])
    setting = KnobSettings(precision=Precision.INT8)
    setting = KnobSettings(precision=Precision.INT8, ranges=HistogramObserver(network, inputs).ranges(setting))
    engine = target.over(network)
    exact = engine.prepare(candidate(KnobSettings(), name)).run(inputs).outputs
    answers = engine.prepare(candidate(setting, name)).run(inputs).outputs
    assert np.abs(answers - exact).max() < 0.05 * np.abs(exact).max()
