"""DenseNet-121 (arXiv:1608.06993): every layer's output is appended to what all later layers of its block see."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tidegate_bench.zoo.segmented import NamedModule, Pooled, Segmented

_BOTTLENECK = 4
"""The 1x1 convolution gives this many times the growth."""


class DenseLayer(nn.Module):
    """Norm, ReLU and convolution twice (1x1, 3x3); gives its input with `growth` channels appended."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        wide = _BOTTLENECK * growth
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, wide, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, inputs + growth, h, w)."""
        wide = self.norm2(self.conv1(torch.relu(self.norm1(x))))
        return torch.cat([x, self.conv2(torch.relu(wide))], 1)


class DenseNet(Segmented):
    """Stem, blocks of dense layers with halving transitions between them, head."""

    def __init__(
        self,
        growth: int = 32,
        depths: Sequence[int] = (6, 12, 24, 16),
        width: int = 64,
        channels: int = 3,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(channels, width, 7, 2, 3, bias=False),
            norm0=nn.BatchNorm2d(width),
            relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, 2, 1),
        )
        for number, depth in enumerate(depths, 1):
            layers = [(f"denselayer{i + 1}", DenseLayer(width + i * growth, growth)) for i in range(depth)]
            parts[f"denseblock{number}"] = nn.Sequential(OrderedDict(layers))
            width += depth * growth
            if number < len(depths):
                parts[f"transition{number}"] = _transition(width)
                width //= 2
        parts["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Linear(width, classes)

    def segments(self) -> list[NamedModule]:
        """The stem, each dense layer, each transition, the head with the last norm."""
        parts = dict(self.features.named_children())
        names: list[NamedModule] = []
        for part, module in parts.items():
            if part.startswith("denseblock"):
                names.extend((f"{part}.{name}", layer) for name, layer in module.named_children())
            elif part.startswith("transition"):
                names.append((part, module))
        stem = nn.Sequential(parts["conv0"], parts["norm0"], parts["relu0"], parts["pool0"])
        head = nn.Sequential(parts["norm5"], nn.ReLU(), Pooled(self.classifier))
        return [("stem", stem), *names, ("head", head)]


def densenet121() -> DenseNet:
    """7,978,856 parameters, 224x224."""
    return DenseNet()


def _transition(inputs: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(inputs),
            relu=nn.ReLU(),
            conv=nn.Conv2d(inputs, inputs // 2, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )
