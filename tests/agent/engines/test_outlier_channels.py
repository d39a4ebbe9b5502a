"""In 8 bits a channel that stands far out behind a linear layer costs the others nothing, as in a transformer."""

import numpy as np
import pytest
import torch
from random_networks import difference, point
from ranged_engine import with_ranges
from test_engines_agree import Open, open_litert, open_onnx
from torch import Tensor, nn

from tidegate.engines.engine import Array
from tidegate.engines.plan.capabilities import Capabilities
from tidegate.engines.plan.execution import plan_execution
from tidegate.engines.plan.quantization import Range
from tidegate.engines.plan.tensors import LARGE, plan_tensors
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.graph.operators import LINEAR, OPERATORS
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork

TOKENS, WIDTH, LAYERS = 6, 32, 3
GELU, LAYER_NORM = "aten.gelu.default", "aten.layer_norm.default"
OUTLIER = 400.0
"""As far out as in the residual stream of BERT: a bias that the next norm takes back."""


class Encoder(nn.Module):
    """Layers of which only the MLP is there, normed after the sum."""

    def __init__(self, *, width: int = WIDTH, has_outlier: bool = True) -> None:
        super().__init__()
        self.wider = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(LAYERS))
        self.narrower = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(LAYERS))
        with torch.no_grad():
            for layer, norm in zip(self.narrower, self.norms, strict=True) if has_outlier else ():
                layer.bias[0] = OUTLIER
                norm.weight.mul_(OUTLIER / width**0.5)
                norm.weight[0] = 0.1

    def forward(self, x: Tensor) -> Tensor:
        """(n, 6, width) to (n, width)."""
        for wider, narrower, norm in zip(self.wider, self.narrower, self.norms, strict=True):
            x = norm(x + narrower(nn.functional.gelu(wider(x))))
        return x.mean(1)


def encoder(*, width: int = WIDTH, has_outlier: bool = True) -> TrainedNetwork:
    torch.manual_seed(0)
    net = Encoder(width=width, has_outlier=has_outlier).eval()
    return export_network([("all", net)], torch.zeros(2, TOKENS, width))


def batch(width: int = WIDTH) -> Array:
    return np.random.default_rng(0).normal(size=(64, TOKENS, width)).astype(np.float32)


@pytest.mark.parametrize("opened", [open_onnx, open_litert])
def test_the_other_channels_stay_exact(opened: Open) -> None:
    network = encoder()
    engine = opened(network)
    chosen = with_ranges(point(engine.name, precision=Precision.INT8), network, batch())
    full = EagerEngine(network).prepare(point("eager")).run(batch()).outputs
    assert difference(engine.prepare(chosen).run(batch()).outputs[:, 1:], full[:, 1:]) < 0.03


@pytest.mark.parametrize("gelu_on_integers", [True, False])
def test_what_no_layer_reads_stays_in_float32(gelu_on_integers: bool) -> None:
    on_integers = integers(gelu_on_integers)
    coded = coded_of(Capabilities(frozenset(Precision), on_integers, float_outputs=frozenset({LINEAR})))
    wider = {f"all/linear{end}" for end in ("", "_2", "_4")}
    narrower = {f"all/linear{end}" for end in ("_1", "_3", "_5")}
    # Of a sum that a norm reads nobody needs codes; a GELU that makes codes of codes does.
    assert coded & narrower == set()
    assert coded & wider == (wider if gelu_on_integers else set())


ROW_BY_ROW = Capabilities(
    frozenset(Precision), frozenset(OPERATORS) - {LINEAR, "aten.layer_norm.default"}, dynamic=frozenset({LINEAR})
)


def test_a_wide_value_is_read_and_given_in_floats_where_the_runtime_quantizes_rows() -> None:
    coded = coded_of(ROW_BY_ROW)
    outliers = {f"all/linear{end}" for end in ("_1", "_3", "_5")} | {f"all/add{end}" for end in ("", "_1", "_2")}
    assert not coded & outliers
    assert "all/linear" in coded, "a small layer on a narrow range"


def test_small_layers_on_narrow_ranges_keep_codes_and_large_ones_quantize_rows() -> None:
    small = encoder(has_outlier=False)
    assert {f"all/linear{end}" for end in ("", "_1", "_2", "_3")} <= coded_of(ROW_BY_ROW, small, batch())
    assert coded_of(ROW_BY_ROW, encoder(width=LARGE, has_outlier=False), batch(LARGE)) == set()


def test_a_range_without_an_error_counts_as_narrow() -> None:
    # As in ladders from before errors were measured, which were certified so.
    assert {f"all/linear{end}" for end in ("", "_1", "_2", "_3")} <= coded_of(ROW_BY_ROW, has_errors=False)


def integers(gelu: bool) -> frozenset[str]:
    return frozenset(OPERATORS) - {LINEAR, LAYER_NORM} - (frozenset() if gelu else {GELU})


def coded_of(
    capabilities: Capabilities,
    network: TrainedNetwork | None = None,
    inputs: Array | None = None,
    *,
    has_errors: bool = True,
) -> set[str]:
    network = encoder() if network is None else network
    chosen = with_ranges(point("any", precision=Precision.INT8), network, batch() if inputs is None else inputs)
    layers = frozenset(layer for segment in network.segments for layer in segment.layers)
    ranges = {name: Range(*(span if has_errors else span[:2])) for name, span in chosen.ranges.items()}
    return set(plan_tensors(plan_execution(network, chosen), layers, {}, ranges, capabilities))
