"""MobileNetV2 (arXiv:1801.04381): inverted residuals with linear bottlenecks."""

from torch import Tensor, nn

from tidegate_bench.zoo.segmented import ConvNorm, NamedModule, Pooled, Segmented, divisible_by_8

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and first stride of each stage (table 2 of the paper)."""


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; the input is added where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        expand = [] if expansion == 1 else [ConvNorm(inputs, wide, 1, activation=nn.ReLU6())]
        self.conv = nn.Sequential(
            *expand,
            ConvNorm(wide, wide, 3, stride, groups=wide, activation=nn.ReLU6()),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        branch: Tensor = self.conv(x)
        return x + branch if self.adds_input else branch


class MobileNetV2(Segmented):
    """3,504,872 parameters at width 1 and 1,000 classes, 224x224; the input is 1/32 as large at the end."""

    def __init__(self, width: float = 1.0, channels: int = 3, classes: int = 1000) -> None:
        super().__init__()
        inputs = divisible_by_8(32 * width)
        last = divisible_by_8(1280 * max(1.0, width))
        self.features = nn.Sequential(ConvNorm(channels, inputs, 3, 2, activation=nn.ReLU6()))
        for expansion, full_width, depth, first_stride in STAGES:
            outputs = divisible_by_8(full_width * width)
            for position in range(depth):
                stride = first_stride if position == 0 else 1
                self.features.append(InvertedResidual(inputs, outputs, stride, expansion))
                inputs = outputs
        self.features.append(ConvNorm(inputs, last, 1, activation=nn.ReLU6()))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def segments(self) -> list[NamedModule]:
        """Each of the feature layers, the head."""
        features = [(f"features.{name}", layer) for name, layer in self.features.named_children()]
        return [*features, ("head", Pooled(self.classifier))]
