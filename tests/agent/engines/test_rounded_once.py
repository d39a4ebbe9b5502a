"""In 8 bits no value is rounded twice on its way from layer to layer: averages, and what is concatenated."""

import numpy as np
import pytest
import torch
from random_networks import point
from ranged_engine import with_ranges
from torch import Tensor, nn

from tidegate.engines.engine import Array, Engine
from tidegate.engines.litert.engine import LiteRtEngine
from tidegate.engines.onnxruntime.engine import OnnxEngine
from tidegate.engines.plan.capabilities import Capabilities
from tidegate.engines.plan.execution import plan_execution
from tidegate.engines.plan.quantization import Range
from tidegate.engines.plan.tensors import plan_tensors
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork

SHAPE = (3, 16, 16)


class Averaged(nn.Module):
    """Averages of 16 values, on whose grid they would be coarse."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.pool = nn.AvgPool2d(4)
        self.last = nn.Conv2d(16, 8, 1)
        self.head = nn.Linear(128, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, 16, 16) to (n, 5)."""
        logits: Tensor = self.head(self.last(self.pool(self.first(x))).flatten(1))
        return logits


class DenselyConnected(nn.Module):
    """Three layers that read all before them: through a norm where `normed`, directly where not."""

    def __init__(self, *, normed: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8 * (1 + n)) if normed else nn.Identity() for n in range(3))
        self.layers = nn.ModuleList(nn.Conv2d(8 * (1 + n), 8, 3, padding=1) for n in range(3))
        self.out = nn.Conv2d(32, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, 16, 16) to (n, 5)."""
        y = self.stem(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            y = torch.cat([y, layer(norm(y).relu())], 1)
        logits: Tensor = self.head(self.out(y).mean((2, 3)))
        return logits


def exported(module: nn.Module) -> TrainedNetwork:
    torch.manual_seed(0)
    return export_network([("all", module.eval())], torch.zeros(2, *SHAPE))


def batch() -> Array:
    return np.random.default_rng(0).normal(size=(64, *SHAPE)).astype(np.float32)


def error(engine: Engine, network: TrainedNetwork) -> float:
    """Root mean square over logits, in 8 bits against fp32."""
    chosen = with_ranges(point(engine.name, precision=Precision.INT8), network, batch())
    full = EagerEngine(network).prepare(point("eager")).run(batch()).outputs
    found = engine.prepare(chosen).run(batch()).outputs
    return float(np.sqrt(np.square(found - full).mean()))


def test_averages_are_as_exact_as_those_of_floats() -> None:
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("onnxruntime")
    network = exported(Averaged())
    assert error(LiteRtEngine(network), network) < 1.2 * error(OnnxEngine(network), network)


@pytest.mark.parametrize("normed", [True, False])
def test_what_a_norm_reads_is_joined_in_float32(normed: bool) -> None:
    network = exported(DenselyConnected(normed=normed))
    chosen = with_ranges(point("any", precision=Precision.INT8), network, batch())
    ranges = {name: Range(*span) for name, span in chosen.ranges.items()}
    everything = Capabilities(frozenset(Precision), frozenset(OPERATORS))
    layers = frozenset(layer for segment in network.segments for layer in segment.layers)
    plan = plan_execution(network, chosen)
    coded = plan_tensors(plan, layers, {}, ranges, everything)
    joined = [
        f"{graph.name}/{node.name}"
        for subgraph in plan
        for graph in subgraph.graphs
        for node in graph.nodes
        if node.operator == "aten.cat.default"
    ]
    # The last one is read by a layer alone; it is in codes, made once of what is in float32.
    assert [name in coded for name in joined] == ([False, False, True] if normed else [True] * 3)
