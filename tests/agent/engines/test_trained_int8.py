"""int8 on trained nets of several activations: near fp32 on images that neither training nor ranges have seen."""

from functools import cache

import numpy as np
import pytest
import torch
from random_networks import point
from ranged_engine import RangedEngine
from torch import Tensor, nn

from tidegate.calibration.data.digits.data import SCALE, load_split
from tidegate.calibration.data.digits.training import fit
from tidegate.engines.onnxruntime.engine import OnnxEngine
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.discovery import discover
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork

pytestmark = pytest.mark.long

EPOCHS = 12
CALIBRATION_INPUTS = 32
ERROR = 0.06
"""Root mean square over all images and logits, of the logits' standard deviation."""
SAME_ANSWER = 0.97


class Clamp(nn.Module):
    """What hard-coded limits make of a signed value."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(-1, 1)


class Block(nn.Module):
    """Convolution, activation, convolution, beside the input; the activation behind the sum, as in a ResNet."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(16, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(x + self.second(self.activation(self.first(x))))
        return y


class Convolutional(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.activation = activation
        self.blocks = nn.Sequential(Block(activation), Block(activation))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.blocks(self.activation(self.stem(x))).mean((2, 3)))
        return y


class Mixer(nn.Module):
    """Rows as tokens through pre-norm blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 24)
        self.norms = nn.ModuleList(nn.LayerNorm(24) for _ in range(2))
        self.wide = nn.ModuleList(nn.Linear(24, 48) for _ in range(2))
        self.narrow = nn.ModuleList(nn.Linear(48, 24) for _ in range(2))
        self.head = nn.Linear(8 * 24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x.flatten(1, 2))
        for norm, wide, narrow in zip(self.norms, self.wide, self.narrow, strict=True):
            x = x + narrow(nn.functional.gelu(wide(norm(x))))
        y: Tensor = self.head(x.flatten(1))
        return y


ACTIVATIONS = {
    "relu": nn.ReLU(),
    "clamp": Clamp(),
    "hardtanh": nn.Hardtanh(-0.5, 2.0),
    "leaky_relu": nn.LeakyReLU(0.1),
    "silu": nn.SiLU(),
    "hardswish": nn.Hardswish(),
    "gelu": nn.GELU(),
}


@cache
def trained(name: str) -> tuple[TrainedNetwork, np.ndarray, np.ndarray]:
    """A net with the inputs its ranges come from, and those to judge it on."""
    split = load_split(5)
    torch.manual_seed(5)
    net = Mixer() if name == "mixer" else Convolutional(ACTIVATIONS[name])
    fit(net, split.train, EPOCHS, augmented=lambda images: images)
    ranges, judged = (part.inputs.astype(np.float32) * SCALE for part in (split.search, split.certify))
    return discover(net, torch.from_numpy(ranges[:2])).network, ranges[:CALIBRATION_INPUTS], judged


@pytest.mark.parametrize("name", [*ACTIVATIONS, "mixer"])
def test_int8_answers_like_fp32(name: str) -> None:
    network, ranges, judged = trained(name)
    expected = EagerEngine(network).prepare(point("eager")).run(judged).outputs
    engine = RangedEngine(OnnxEngine(network), network, lambda: ranges)
    found = engine.prepare(point(engine.name, precision=Precision.INT8)).run(judged).outputs
    error = float(np.sqrt(np.square(found - expected).mean()) / expected.std())
    assert error < ERROR
    assert (found.argmax(1) == expected.argmax(1)).mean() >= SAME_ANSWER
