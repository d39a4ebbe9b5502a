"""An anchor-free detector in the manner of YOLOv8: two grids, pooling at three sizes, one raw output."""

import torch
from torch import Tensor, nn

from tidegate_bench.zoo.resnet import BasicBlock
from tidegate_bench.zoo.segmented import ConvNorm, NamedModule, Segmented

CLASSES = 8
BOX = 4
BLOCKS = 4


class SmallDetector(Segmented):
    """Stem to 1/8 of the input's size, residual blocks, and a neck with heads at 1/8 and 1/16."""

    def __init__(self, width: int = 64, classes: int = CLASSES) -> None:
        super().__init__()
        silu = nn.SiLU
        self.stem = nn.Sequential(
            ConvNorm(3, width // 4, stride=2, activation=silu()),
            ConvNorm(width // 4, width // 2, stride=2, activation=silu()),
            ConvNorm(width // 2, width, stride=2, activation=silu()),
        )
        self.blocks = nn.ModuleList(BasicBlock(width, width, 1) for _ in range(BLOCKS))
        self.head = _NeckAndHeads(width, classes)

    def segments(self) -> list[NamedModule]:
        """The stem, each block, the head."""
        blocks = [(f"block{index}", block) for index, block in enumerate(self.blocks)]
        return [("stem", self.stem), *blocks, ("head", self.head)]


class _NeckAndHeads(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.down = ConvNorm(width, 2 * width, stride=2, activation=nn.SiLU())
        self.narrow = ConvNorm(2 * width, width, 1, activation=nn.SiLU())
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.widen = ConvNorm(4 * width, 2 * width, 1, activation=nn.SiLU())
        self.merge = ConvNorm(3 * width, width, activation=nn.SiLU())
        self.fine = nn.Conv2d(width, BOX + classes, 1)
        self.coarse = nn.Conv2d(2 * width, BOX + classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to (n, (4 + classes) * candidates): boxes as they come, scores between 0 and 1."""
        pooled = [self.narrow(self.down(x))]
        for _ in range(3):
            pooled.append(self.pool(pooled[-1]))
        deep = self.widen(torch.cat(pooled, 1))
        merged = self.merge(torch.cat((nn.functional.interpolate(deep, scale_factor=2.0, mode="nearest"), x), 1))
        raw = torch.cat((self.fine(merged).flatten(2), self.coarse(deep).flatten(2)), 2)
        return torch.cat((raw[:, :BOX], raw[:, BOX:].sigmoid()), 1).flatten(1)
