"""What is measured, measured on nets whose order is known."""

import numpy as np
import torch
from torch import nn

from tidegate.calibration.assemble.digits_bundle import export_network
from tidegate.calibration.candidate import candidate
from tidegate.calibration.certify.risk import newly_wrong
from tidegate.calibration.knob_settings import Setting
from tidegate.calibration.measure.measurement import measure_latency
from tidegate.engines.eager import EagerEngine


def test_newly_wrong_counts_only_what_the_reference_gets_right() -> None:
    reference = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    outputs = np.eye(3, dtype=np.float32)[[0, 2, 1, 2]]
    labels = np.array([0, 1, 0, 0])
    assert newly_wrong(reference, outputs, labels).tolist() == [False, True, False, True]


def test_latencies_are_ordered_like_the_work_and_positive() -> None:
    """A hundred times the work, so that no noise turns it round."""
    torch.manual_seed(0)
    blocks = [(f"block_{i}", nn.Linear(512, 512)) for i in range(40)]
    network = export_network([*blocks, ("head", nn.Linear(512, 2))], torch.zeros(2, 512))
    engine = EagerEngine(network)
    settings = [Setting(), Setting(skip=frozenset(name for name, _ in blocks))]
    variants = [engine.prepare(candidate(setting, "eager")) for setting in settings]
    full, skipped = measure_latency(variants, np.ones((3, 512), np.float32), rounds=30)
    assert 0 < skipped.p50_ms < full.p50_ms
    assert full.p50_ms <= full.p95_ms
