"""Smoothing: fp32 keeps every bit, and an encoder with outlier channels becomes one that int8 can hold."""

import importlib.util
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tidegate.calibration.candidate import candidate
from tidegate.calibration.fit.histogram_observer import HistogramObserver
from tidegate.calibration.fit.smooth_quant import smoothed
from tidegate.calibration.fit.smoothing_sites import sites_of, smoothed_at
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import target_engines
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.graph import INPUT
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork
from tidegate_bench.zoo.encoder import Attention, Mlp

WIDTH, TOKENS, LAYERS = 64, 16, 2
OUTLIERS = {5: 60.0, 40: 30.0}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two would wait for each other most of the time: the network is tiny."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Embedding(nn.Module):
    """The mean over tokens: what sentence encoders answer."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to (n, width)."""
        return x.mean(1)


@cache
def encoder(*, post_norm: bool, has_outliers: bool) -> TrainedNetwork:
    """Outlier channels as large encoders have them: large in norms, small in the layers that read them."""
    torch.manual_seed(0)
    parts: list[tuple[str, nn.Module]] = [("stem", nn.LayerNorm(WIDTH))]
    for index in range(LAYERS):
        parts += [
            (f"attention_{index}", Attention(WIDTH, 4, post_norm)),
            (f"mlp_{index}", Mlp(WIDTH, 4 * WIDTH, post_norm)),
        ]
    norms = [module.norm for _, module in parts if isinstance(module, Attention | Mlp)]
    readers = [list(linear_readers(module)) for _, module in parts if isinstance(module, Attention | Mlp)]
    with torch.no_grad():
        # After a norm behind the sum comes the next part.
        for norm, layers in zip(norms, readers[1:] if post_norm else readers, strict=not post_norm):
            for channel, size in (OUTLIERS if has_outliers else {}).items():
                norm.weight[channel] *= size
                for layer in layers:
                    layer.weight[:, channel] /= size
    return export_network([*parts, ("mean", Embedding())], torch.zeros(2, TOKENS, WIDTH))


def linear_readers(part: Attention | Mlp) -> Iterator[nn.Linear]:
    if isinstance(part, Mlp):
        yield part.wide
    else:
        yield from (part.query, part.key, part.value)


def tokens(seed: int, samples: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(samples, TOKENS, WIDTH)).astype(np.float32)


def answers(network: TrainedNetwork, inputs: np.ndarray) -> np.ndarray:
    return EagerEngine(network).build(KnobSettings()).forward(inputs).outputs


@settings(max_examples=20)  # each draws 64 factors for each of its sites
@given(st.booleans(), st.integers(0, 1000))
def test_answers_in_fp32_are_the_same_to_the_bit_whatever_the_factors(post_norm: bool, seed: int) -> None:
    network, inputs = encoder(post_norm=post_norm, has_outliers=False), tokens(seed, 2)
    exact = answers(network, inputs)
    random = np.random.default_rng(seed)
    for site in sites_of(network):
        factors = np.exp2(random.integers(-8, 8, WIDTH)).astype(np.float32)
        network = smoothed_at(network, site, factors)

    assert np.array_equal(answers(network, inputs), exact)


@pytest.mark.parametrize("post_norm", [False, True])
@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_an_encoder_with_outliers_comes_close_to_fp32_in_int8(name: str, post_norm: bool) -> None:
    if importlib.util.find_spec({"onnx": "onnxruntime", "litert": "ai_edge_litert"}[name]) is None:
        pytest.skip(f"{name} is not installed")
    (target,) = target_engines([name])
    network, seen, fresh = encoder(post_norm=post_norm, has_outliers=True), tokens(1), tokens(2)
    exact = answers(network, fresh)

    def distance(at: TrainedNetwork) -> float:
        """Cosine distance of int8 to fp32, the mean over samples."""
        int8 = KnobSettings(precision=Precision.INT8)
        ranged = KnobSettings(precision=Precision.INT8, ranges=HistogramObserver(at, seen).ranges(int8))
        got = target.over(at).prepare(candidate(ranged, name)).run(fresh).outputs
        sizes = np.linalg.norm(got, axis=1) * np.linalg.norm(exact, axis=1)
        return float((1 - (got * exact).sum(1) / sizes).mean())

    found = distance(smoothed(network, seen))

    assert found < 0.003
    without = distance(network)
    # Behind a norm that ends a block, what a layer gives in float32 has no outliers left to take away, and where a
    # range is wide for them LiteRT quantizes row by row.
    assert found < (1.1 * without if post_norm else without / 2)


def test_a_norm_that_others_read_keeps_its_weights_and_the_layers_get_a_product() -> None:
    network = encoder(post_norm=True, has_outliers=True)
    even = smoothed(network, tokens(1))

    norms = [name for name in network.arrays if ".norm." in name]
    assert all(np.array_equal(network.arrays[name], even.arrays[name]) for name in norms)
    (first, *_) = even.segments[2].nodes
    assert first.operands == (INPUT,)
    readers = [node.name for node in even.segments[2].nodes if first.name in node.operands]
    assert len(readers) == 1


def test_channels_that_are_even_stay_as_they_are() -> None:
    network = encoder(post_norm=True, has_outliers=False)

    assert smoothed(network, tokens(1)).segments == network.segments


def test_weights_of_several_nodes_are_left_alone() -> None:
    network = encoder(post_norm=False, has_outliers=False)
    twice = (network.segments[1], *network.segments[1:])

    sites = sites_of(TrainedNetwork(twice, network.arrays))

    assert not any(site.segment == network.segments[1].name for site in sites)
