"""The small nets of the ladder benchmark, each trained here from scratch on scikit-learn's scanned digits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tidegate.calibration.data.digits.net import DigitsNet


class InvertedResidual(nn.Module):
    """MobileNetV2's block (arXiv:1801.04381, table 1): widen, filter each channel, narrow; linear at the end."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expansion: int = 4) -> None:
        super().__init__()
        wide = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        out: Tensor = self.body(x)
        return x + out if self.adds else out


class SmallMobileNet(nn.Module):
    """Eight inverted residuals, six of which keep their shape."""

    def __init__(self) -> None:
        super().__init__()
        stem = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()]
        sizes = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 3
        self.features = nn.Sequential(*stem, *(InvertedResidual(*size) for size in sizes))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 8, 8) to (n, 10) logits."""
        logits: Tensor = self.head(self.features(x).mean((2, 3)))
        return logits


class SmallTransformer(nn.Module):
    """Square patches of a picture as tokens, pre-norm encoder layers, their mean (arXiv:2010.11929)."""

    def __init__(self, width: int = 48, layers: int = 4, patch: int = 2, side: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, patch)
        self.places = nn.Parameter(torch.randn((side // patch) ** 2, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, side, side) to (n, 10) logits."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        logits: Tensor = self.head(self.norm(self.encoder(tokens)).mean(1))
        return logits


NARROW = (16, 32)
"""Two thirds of the demo's widths, which makes the benchmark twice as fast."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A net and how long it is trained: until more epochs hardly help."""

    make: Callable[[], nn.Module]
    epochs: int


NETS: Mapping[str, Recipe] = {
    "residual": Recipe(lambda: DigitsNet(NARROW, drop=0.0), 16),
    "residual, stochastic depth": Recipe(lambda: DigitsNet(NARROW), 40),
    "mobilenet": Recipe(SmallMobileNet, 16),
    "transformer": Recipe(SmallTransformer, 80),
}
