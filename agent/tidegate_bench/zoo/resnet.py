"""Residual networks (arXiv:1512.03385) with basic or bottleneck blocks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tidegate_bench.zoo.segmented import ConvNorm, NamedModule, Pooled, Segmented


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, width, h / stride, w / stride)."""
        branch = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(branch + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the 3x3 one has the stride (ResNet v1.5)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, 4 * width, h / stride, w / stride)."""
        branch = torch.relu(self.bn1(self.conv1(x)))
        branch = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(branch)))))
        return torch.relu(branch + (x if self.downsample is None else self.downsample(x)))


class ResNet(Segmented):
    """Stem, four stages that double the width `width`, and a linear head; it ends at 1/32 of the input's size."""

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        width: int = 64,
        channels: int = 3,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages = len(depths)
        inputs = width
        for index, depth in enumerate(depths):
            stage = nn.Sequential()
            for position in range(depth):
                stride = 2 if index > 0 and position == 0 else 1
                stage.append(block(inputs, width << index, stride))
                inputs = (width << index) * block.expansion
            self.add_module(f"layer{index + 1}", stage)
        self.fc = nn.Linear(inputs, classes)

    def segments(self) -> list[NamedModule]:
        """The stem, each residual block, the head."""
        stem = nn.Sequential(self.conv1, self.bn1, nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        blocks = [
            (f"layer{stage + 1}.{name}", block)
            for stage in range(self.stages)
            for name, block in self.get_submodule(f"layer{stage + 1}").named_children()
        ]
        return [("stem", stem), *blocks, ("head", Pooled(self.fc))]


class ResNet20(Segmented):
    """Three stages of 16, 32 and 64 channels for small images (section 4.2), here with 1x1 shortcuts."""

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        inputs = 16
        self.stem = ConvNorm(channels, inputs, activation=nn.ReLU())
        self.blocks = nn.Sequential()
        for index, width in enumerate((16, 32, 64)):
            for position in range(3):
                stride = 2 if index > 0 and position == 0 else 1
                self.blocks.append(BasicBlock(inputs, width, stride))
                inputs = width
        self.fc = nn.Linear(inputs, classes)

    def segments(self) -> list[NamedModule]:
        """The stem, each residual block, the head."""
        blocks = [(f"blocks.{name}", block) for name, block in self.blocks.named_children()]
        return [("stem", self.stem), *blocks, ("head", Pooled(self.fc))]


def resnet18() -> ResNet:
    """11,689,512 parameters, 224x224."""
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet50() -> ResNet:
    """25,557,032 parameters, 224x224."""
    return ResNet(Bottleneck, (3, 4, 6, 3))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    return None if inputs == outputs and stride == 1 else ConvNorm(inputs, outputs, 1, stride)
