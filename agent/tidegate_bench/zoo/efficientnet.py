"""EfficientNet-B0 (arXiv:1905.11946): inverted residuals with squeeze and excitation, and SiLU."""

import torch
from torch import Tensor, nn

from tidegate_bench.zoo.segmented import ConvNorm, NamedModule, Pooled, Segmented, divisible_by_8

STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, first stride, channels and blocks of each stage (table 1 of the paper)."""


class SqueezeExcitation(nn.Module):
    """Each channel scaled by a gate computed from all channels' means."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same."""
        means = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.fc2(nn.functional.silu(self.fc1(means))))


class MBConv(nn.Module):
    """Expand, filter each channel, squeeze and excite, project; the input is added where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        expand = [] if expansion == 1 else [ConvNorm(inputs, wide, 1, activation=nn.SiLU())]
        self.block = nn.Sequential(
            *expand,
            ConvNorm(wide, wide, kernel, stride, groups=wide, activation=nn.SiLU()),
            SqueezeExcitation(wide, max(1, inputs // 4)),
            ConvNorm(wide, outputs, 1),
        )
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        branch: Tensor = self.block(x)
        return x + branch if self.adds_input else branch


class EfficientNetB0(Segmented):
    """5,288,548 parameters at width 1 and 1,000 classes, 224x224; the input is 1/32 as large at the end."""

    def __init__(self, width: float = 1.0, channels: int = 3, classes: int = 1000) -> None:
        super().__init__()
        inputs = divisible_by_8(32 * width)
        self.features = nn.Sequential(ConvNorm(channels, inputs, 3, 2, activation=nn.SiLU()))
        for expansion, kernel, first_stride, full_width, depth in STAGES:
            outputs = divisible_by_8(full_width * width)
            stage = nn.Sequential()
            for position in range(depth):
                stride = first_stride if position == 0 else 1
                stage.append(MBConv(inputs, outputs, kernel, stride, expansion))
                inputs = outputs
            self.features.append(stage)
        self.features.append(ConvNorm(inputs, 4 * inputs, 1, activation=nn.SiLU()))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(4 * inputs, classes))

    def segments(self) -> list[NamedModule]:
        """The stem, each MBConv block, the last convolution, the head."""
        stages = list(self.features.named_children())
        blocks = [
            (f"features.{stage}.{name}", block)
            for stage, layers in stages[1:-1]
            for name, block in layers.named_children()
        ]
        first, last = ((f"features.{name}", layer) for name, layer in (stages[0], stages[-1]))
        return [first, *blocks, last, ("head", Pooled(self.classifier))]
