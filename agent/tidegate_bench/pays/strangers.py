"""Seven more networks, of kinds that the first six leave out: made after the search, which knew none of them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tidegate_bench.pays.recipe import Sequence
from tidegate_bench.zoo.densenet import DenseLayer
from tidegate_bench.zoo.mobilenet_v3 import InvertedResidual
from tidegate_bench.zoo.segmented import ConvNorm


def hard_swish() -> nn.Module:
    """MobileNetV3's blocks (arXiv:1905.02244) on log-mel images: hard-swish, squeeze and excitation."""
    blocks: list[nn.Module] = [ConvNorm(1, 16, 3, 2, activation=nn.Hardswish())]
    for inputs, kernel, wide, outputs, squeezes, swish, stride in (
        (16, 3, 16, 16, True, False, 2),
        (16, 3, 64, 24, False, False, 1),
        (24, 3, 72, 24, False, False, 1),
        (24, 5, 96, 40, True, True, 1),
        *((40, 5, 120, 40, True, True, 1),) * 3,
    ):
        blocks.append(InvertedResidual(inputs, kernel, wide, outputs, squeezes, swish, stride))
    return Sequence(*blocks, ConvNorm(40, 160, 1, activation=nn.Hardswish()), features=160, classes=12)


class ChannelNorm(nn.Module):
    """A layer norm over the channels of each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same."""
        normed: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normed


class ConvNextBlock(nn.Module):
    """Depthwise 7x7, layer norm, and a wide pointwise layer with GELU, scaled and added (arXiv:2201.03545)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same."""
        pixels = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        branch: Tensor = self.narrow(functional.gelu(self.wide(pixels))) * self.scale
        return x + branch.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    """Three blocks at 14x14 and three at 7x7."""
    return Sequence(
        nn.Conv2d(1, 32, 2, 2),
        ChannelNorm(32),
        *(ConvNextBlock(32) for _ in range(3)),
        ChannelNorm(32),
        nn.Conv2d(32, 64, 2, 2),
        *(ConvNextBlock(64) for _ in range(3)),
        features=64,
        classes=10,
    )


def vgg_at_56() -> nn.Module:
    """Nine 3x3 convolutions and three max pools on pictures of 56x56, no shortcut."""
    layers: list[nn.Module] = []
    inputs = 1
    for width, depth in ((12, 2), (24, 2), (48, 2), (96, 3)):
        for _ in range(depth):
            layers.append(ConvNorm(inputs, width, activation=nn.ReLU()))
            inputs = width
        if width < 96:
            layers.append(nn.MaxPool2d(2))
    return Sequence(*layers, features=96, classes=26)


def dense() -> nn.Module:
    """DenseNet (arXiv:1608.06993): three blocks of four layers, each of which appends 12 channels."""
    parts: list[nn.Module] = [ConvNorm(1, 24, 5, 2, activation=nn.ReLU()), nn.MaxPool2d(2)]
    width = 24
    for block in range(3):
        for _ in range(4):
            parts.append(DenseLayer(width, 12))
            width += 12
        if block < 2:
            parts += [ConvNorm(width, width // 2, 1, activation=nn.ReLU()), nn.AvgPool2d(2)]
            width //= 2
    return Sequence(*parts, nn.BatchNorm2d(width), nn.ReLU(), features=width, classes=26)


class GroupedBottleneck(nn.Module):
    """1x1, grouped 3x3 and 1x1 convolutions beside a shortcut (ResNeXt, arXiv:1611.05431)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.branch = nn.Sequential(
            ConvNorm(inputs, middle, 1, activation=nn.ReLU()),
            ConvNorm(middle, middle, 3, stride, groups=4, activation=nn.ReLU()),
            ConvNorm(middle, outputs, 1),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        return torch.relu(self.shortcut(x) + self.branch(x))


def grouped() -> nn.Module:
    """Three stages of two bottlenecks in four groups, 32, 64 and 128 channels wide."""
    blocks: list[nn.Module] = [ConvNorm(1, 16, activation=nn.ReLU())]
    inputs = 16
    for width in (32, 64, 128):
        for position in range(2):
            blocks.append(GroupedBottleneck(inputs, width, 2 if position == 0 and width > 32 else 1))
            inputs = width
    return Sequence(*blocks, features=128, classes=10)


class MixerBlock(nn.Module):
    """An MLP over tokens, then one over channels, each normed before and added (arXiv:2105.01601)."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))
        self.channels = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) to the same."""
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = x + self.channels(self.norm2(x))
        return mixed


class Mixer(nn.Module):
    """Patches of 4x4 of a 28x28 picture as 49 tokens, five blocks, their mean."""

    def __init__(self, width: int = 64, depth: int = 5) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.blocks = nn.Sequential(*(MixerBlock(49, width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 28, 28) to (n, 10)."""
        logits: Tensor = self.head(self.norm(self.blocks(self.patches(x).flatten(2).transpose(1, 2))).mean(1))
        return logits


class DilatedResidual(nn.Module):
    """Two convolutions over time, their taps `dilation` samples apart, and the input added (arXiv:1803.01271)."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()

        def convolution(channels: int) -> nn.Module:
            taps = nn.Conv2d(
                channels, outputs, (1, 5), padding=(0, 2 * dilation), dilation=(1, dilation), bias=False
            )
            return nn.Sequential(taps, nn.BatchNorm2d(outputs))

        self.first, self.second = convolution(inputs), convolution(outputs)
        self.shortcut = nn.Identity() if inputs == outputs else ConvNorm(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, 1, samples) to (n, outputs, 1, samples)."""
        return torch.relu(self.shortcut(x) + self.second(torch.relu(self.first(x))))


def temporal() -> nn.Module:
    """A temporal convolutional network over six signals of 128 samples; dilations from 1 to 16."""
    blocks = (DilatedResidual(6 if dilation == 1 else 48, 48, dilation) for dilation in (1, 2, 4, 8, 16))
    return Sequence(*blocks, features=48, classes=6)
