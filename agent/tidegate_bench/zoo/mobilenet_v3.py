"""MobileNetV3-small (arXiv:1905.02244): inverted residuals with hard-swish, some with squeeze and excitation."""

import torch
from torch import Tensor, nn

from tidegate_bench.zoo.segmented import ConvNorm, NamedModule, Pooled, Segmented, divisible_by_8

BLOCKS = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
"""Kernel, expanded and output channels, squeeze and excitation, hard-swish, stride (table 2 of the paper)."""


class SqueezeExcitation(nn.Module):
    """Each channel scaled by a gate computed from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = divisible_by_8(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same."""
        means = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * nn.functional.hardsigmoid(self.fc2(torch.relu(self.fc1(means))))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, squeeze and excite, project; the input is added where the shapes agree."""

    def __init__(
        self, inputs: int, kernel: int, wide: int, outputs: int, squeezes: bool, swish: bool, stride: int
    ) -> None:
        super().__init__()

        def activation() -> nn.Module:
            return nn.Hardswish() if swish else nn.ReLU()

        expand = [] if wide == inputs else [ConvNorm(inputs, wide, 1, activation=activation())]
        self.block = nn.Sequential(
            *expand,
            ConvNorm(wide, wide, kernel, stride, groups=wide, activation=activation()),
            *([SqueezeExcitation(wide)] if squeezes else []),
            ConvNorm(wide, outputs, 1),
        )
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        branch: Tensor = self.block(x)
        return x + branch if self.adds_input else branch


class MobileNetV3Small(Segmented):
    """2,542,856 parameters at 1,000 classes, 224x224; the input is 1/32 as large at the end."""

    def __init__(self, channels: int = 3, classes: int = 1000) -> None:
        super().__init__()
        inputs, last, hidden = 16, 576, 1024
        self.features = nn.Sequential(ConvNorm(channels, inputs, 3, 2, activation=nn.Hardswish()))
        for kernel, wide, outputs, squeezes, swish, stride in BLOCKS:
            self.features.append(InvertedResidual(inputs, kernel, wide, outputs, squeezes, swish, stride))
            inputs = outputs
        self.features.append(ConvNorm(inputs, last, 1, activation=nn.Hardswish()))
        self.classifier = nn.Sequential(
            nn.Linear(last, hidden), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(hidden, classes)
        )

    def segments(self) -> list[NamedModule]:
        """Each of the feature layers, the head."""
        features = [(f"features.{name}", layer) for name, layer in self.features.named_children()]
        return [*features, ("head", Pooled(self.classifier))]
