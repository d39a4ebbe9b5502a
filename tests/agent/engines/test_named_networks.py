"""The networks of the zoo, exported and run on onnx; at full size, and some small ones, as `slow`."""

import numpy as np
import pytest
import torch
from random_networks import difference, point
from ranged_engine import RangedEngine

from tidegate.engines.onnxruntime.engine import OnnxEngine
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.export_network import export_network
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork
from tidegate_bench.zoo.catalog import ZOO
from tidegate_bench.zoo.encoder import Encoder, Patches, bert_style_6, encoder_6, vit_small
from tidegate_bench.zoo.folding import inference_segments
from tidegate_bench.zoo.segmented import Segmented

EXACT = 1e-4
INT8 = 0.3

SMALL = {name: (entry.small, (1, 32, 32)) for name, entry in ZOO.items()} | {
    "pre_ln_encoder": (lambda: Encoder(2, 32, 4, 64, 5), (6, 32)),
    "post_ln_encoder": (lambda: Encoder(2, 32, 4, 64, 5, post_norm=True), (6, 32)),
    "vit": (lambda: Encoder(2, 32, 4, 64, 5, entrance=Patches(32, 8, 32)), (3, 32, 32)),
}
FULL = {
    name: (entry.full, (entry.channels, entry.resolution, entry.resolution)) for name, entry in ZOO.items()
} | {
    "encoder_6": (encoder_6, (128, 384)),
    "bert_style_6": (bert_style_6, (128, 384)),
    "vit_small": (vit_small, (3, 224, 224)),
}

QUICK = ("resnet18", "pre_ln_encoder")
"""Exporting the others takes seconds each."""

CASES = [
    *(
        pytest.param(*case, id=f"small-{name}", marks=[pytest.mark.slow] * (name not in QUICK))
        for name, case in SMALL.items()
    ),
    *(pytest.param(*case, id=name, marks=pytest.mark.slow) for name, case in FULL.items()),
]


def export(net: Segmented, shape: tuple[int, ...]) -> TrainedNetwork:
    return export_network(inference_segments(net), torch.randn(2, *shape))


@pytest.mark.parametrize(("make", "shape"), CASES)
def test_onnx_answers_as_eager(make: object, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = export(make(), shape)
    batch = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    expected = EagerEngine(network).prepare(point("eager")).run(batch).outputs
    engine = RangedEngine(OnnxEngine(network), network, lambda: batch)
    exact = engine.prepare(point("onnx")).run(batch).outputs
    assert difference(exact, expected) < EXACT
    small = engine.prepare(point("onnx", precision=Precision.INT8)).run(batch).outputs
    assert difference(small, expected) < INT8
