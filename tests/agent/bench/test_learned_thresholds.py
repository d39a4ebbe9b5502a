"""Thresholds are learned, and nothing else is."""

import numpy as np
import torch
from torch import Tensor, nn

from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.export_network import export_network
from tidegate_bench.ladder.learned_thresholds import ThresholdLearner


class Residual(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.relu(self.linear(x))


def test_a_higher_price_skips_more_and_spares_the_vital_block() -> None:
    torch.manual_seed(0)
    parts = [("idle", Residual(0.001)), ("vital", Residual(3.0)), ("head", nn.Linear(8, 3))]
    network = export_network(parts, torch.zeros(2, 8))
    before = {name: array.copy() for name, array in network.arrays.items()}
    inputs = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    learner = ThresholdLearner(network, inputs)
    engine = EagerEngine(network)
    ran = [engine.build(learner.learn(price)).forward(inputs).executed for price in (0.001, 0.1)]
    assert sum(ran[1].values()) < sum(ran[0].values())
    assert ran[1]["idle"] < ran[1]["vital"]
    assert all(np.array_equal(before[name], array) for name, array in network.arrays.items())
