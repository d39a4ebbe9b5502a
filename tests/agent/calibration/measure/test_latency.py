"""Latency, measured on nets whose order is known."""

import numpy as np
import torch
from torch import nn

from tidegate.calibration.candidate import candidate
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.latency import measure_latency
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.export_network import export_network


def test_latencies_are_ordered_like_the_work_and_positive() -> None:
    """A hundred times the work, so that no noise turns it round."""
    torch.manual_seed(0)
    blocks = [(f"block_{i}", nn.Linear(512, 512)) for i in range(40)]
    network = export_network([*blocks, ("head", nn.Linear(512, 2))], torch.zeros(2, 512))
    engine = EagerEngine(network)
    settings = [KnobSettings(), KnobSettings(skip=frozenset(name for name, _ in blocks))]
    variants = [engine.prepare(candidate(setting, "eager")) for setting in settings]
    full, skipped = measure_latency(variants, np.ones((3, 512), np.float32), rounds=5)
    assert 0 < skipped.p50_ms < full.p50_ms
    assert full.p50_ms <= full.p95_ms
