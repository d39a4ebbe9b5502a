"""The networks of the engine benchmark beside the zoo: their size, and that what is in them can be exported."""

import numpy as np
import pytest
import torch

from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.export_network import export_network
from tidegate_bench.engine.runtimes.tidegate import unmeasured
from tidegate_bench.zoo.encoder import vit_tiny
from tidegate_bench.zoo.folding import inference_segments
from tidegate_bench.zoo.mobilenet_v3 import MobileNetV3Small
from tidegate_bench.zoo.resnet import ResNet20
from tidegate_bench.zoo.segmented import Segmented

PARAMETERS = {
    # As torchvision's mobilenet_v3_small.
    "mobilenet_v3_small": (MobileNetV3Small(), 2_542_856),
    # The paper's 269,722, less 288 for one channel in, and 2,752 for shortcuts of 1x1 convolutions and norms.
    "resnet20": (ResNet20(), 272_186),
    # DeiT-Ti has 5,717,416; the class token and its position are 192 each.
    "vit_tiny": (vit_tiny(), 5_717_416 - 2 * 192),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_network_is_as_large_as_published(name: str) -> None:
    net, parameters = PARAMETERS[name]
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


@pytest.mark.parametrize(
    ("net", "first", "count", "shape"),
    [
        (ResNet20(), 3, 2, (16, 28, 28)),
        # With squeeze and excitation, ReLU6's hard sigmoid and hard-swish.
        (MobileNetV3Small(), 4, 1, (24, 28, 28)),
    ],
)
def test_its_blocks_compute_the_same_when_exported(
    net: Segmented, first: int, count: int, shape: tuple[int, ...]
) -> None:
    segments = inference_segments(net)[first : first + count]
    inputs = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    network = export_network(segments, torch.zeros(2, *shape))
    answer = EagerEngine(network).prepare(unmeasured("eager", "fp32", 1)).run(inputs)
    with torch.no_grad():
        expected = torch.from_numpy(inputs)
        for _, module in net.eval().segments()[first : first + count]:
            expected = module(expected)
    np.testing.assert_allclose(answer.outputs, expected.numpy(), atol=1e-5)
