"""Ranges of what a network computes, as the observer gives them."""

import numpy as np
import torch
from torch import Tensor, nn

from tidegate.calibration.fit.histogram_observer import HistogramObserver
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.models.importing.export_network import export_network


class Masked(nn.Module):
    """Scores, a mask of -inf on the last one, and their softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(4, 3)
        self.register_buffer("mask", torch.tensor([0.0, 0.0, -torch.inf]))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4) to (n, 3)."""
        return torch.softmax(self.scores(x) + self.mask, dim=1)


def test_what_is_not_finite_has_no_part_in_a_range() -> None:
    torch.manual_seed(0)
    network = export_network([("all", Masked())], torch.zeros(2, 4))
    inputs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)

    ranges = HistogramObserver(network, inputs).ranges(KnobSettings())

    assert np.isfinite([end for span in ranges.values() for end in span]).all()
    (added,) = (node.name for node in network.segments[0].nodes if node.operator == "aten.add.Tensor")
    assert ranges[f"all/{added}"][0] < ranges[f"all/{added}"][1]
