"""What ONNX Runtime makes of 8-bit graphs: which operators end up with integer kernels."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import point
from ranged_engine import with_ranges
from torch import Tensor, nn

from tidegate.engines.onnxruntime.engine import OnnxEngine
from tidegate.engines.onnxruntime.protobuf_reader import read_graph
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Precision


class SqueezeExcite(nn.Module):
    """A convolution, SiLU, and channels weighed by a sigmoid of their means, as in EfficientNet."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 16, 3, padding=1)
        self.down = nn.Conv2d(16, 4, 1)
        self.up = nn.Conv2d(4, 16, 1)
        self.out = nn.Conv2d(16, 8, 1)
        self.head = nn.Linear(8, 5)
        self.activation = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 5)."""
        y = self.activation(self.wide(x))
        share = torch.sigmoid(self.up(self.activation(self.down(y.mean((2, 3), keepdim=True)))))
        logits: Tensor = self.head(self.out(y * share).mean((2, 3)))
        return logits


def test_silu_and_squeeze_excitation_stay_on_integers(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = export_network([("all", SqueezeExcite().eval())], torch.zeros(2, 3, 12, 12))
    inputs = np.random.default_rng(0).normal(size=(8, 3, 12, 12)).astype(np.float32)
    engine = OnnxEngine(network, NetworkCache(Cache(tmp_path), "squeeze-excite"))

    engine.prepare(with_ranges(point(engine="onnx", precision=Precision.INT8), network, inputs))

    (kept,) = tmp_path.rglob("graph.onnx")
    found = Counter(node.type for node in read_graph(kept.read_bytes()).nodes)
    # Two SiLUs and the sigmoid; a product for each.
    assert found["QLinearSigmoid"] == 3
    assert found["QLinearMul"] == 3
    assert not found["Sigmoid"] + found["Mul"]
