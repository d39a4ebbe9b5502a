"""The arithmetic of gating against simulation, and against what the engine counts."""

import numpy as np
import pytest
import torch
from torch import nn

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.export_network import export_network
from tidegate_bench.routing.theory import gated_cost, paper_skip_probability, skip_probability, worthwhile_skip

SAMPLES = 20_000


@pytest.mark.parametrize("elements", [16, 64, 256])
@pytest.mark.parametrize("sigma", [0.5, 2.0])
@pytest.mark.parametrize("place", [0.7, 0.78, 0.798, 0.82, 0.9])
def test_the_corrected_formula_agrees_with_simulation(elements: int, sigma: float, place: float) -> None:
    x = np.random.default_rng(0).normal(0, sigma, (SAMPLES, elements))
    simulated = float((np.abs(x).mean(1) <= place * sigma).mean())
    assert skip_probability(place * sigma, sigma, elements) == pytest.approx(simulated, abs=0.025)


def test_the_papers_formula_does_not() -> None:
    """At tau = 0.1 sigma and 128 elements it promises two skips in three; there are none."""
    assert paper_skip_probability(0.1, 1.0, 128) > 0.6
    assert skip_probability(0.1, 1.0, 128) < 1e-9
    x = np.random.default_rng(0).normal(size=(SAMPLES, 128))
    assert (np.abs(x).mean(1) <= 0.1).sum() == 0


def test_the_cost_model_is_what_the_engine_counts_up_to_its_units() -> None:
    """A multiply and an add are two operations, and so are a sign and a sum: both sides double."""
    width, blocks = 32, 4
    torch.manual_seed(0)
    parts = [(f"block_{i}", nn.Sequential(nn.Linear(width, width), nn.ReLU())) for i in range(blocks)]
    network = export_network([*parts, ("head", nn.Linear(width, 2))], torch.zeros(2, width))
    inputs = np.random.default_rng(0).normal(size=(300, width)).astype(np.float32)
    setting = KnobSettings(thresholds={name: 0.4 for name, _ in parts})
    done = EagerEngine(network).build(setting).forward(inputs)
    skipped = 1 - sum(done.executed.values()) / (blocks * len(inputs))
    assert 0 < skipped < 1
    head = 2 * 2 * width
    assert done.flops / len(inputs) == pytest.approx(2 * gated_cost(skipped, blocks, width) + head)


def test_gating_pays_from_one_skip_in_d() -> None:
    width, blocks = 64, 6
    ungated = blocks * width**2
    assert gated_cost(worthwhile_skip(width), blocks, width) == pytest.approx(ungated)
    assert gated_cost(2 * worthwhile_skip(width), blocks, width) < ungated
