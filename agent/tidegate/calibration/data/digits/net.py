"""A residual CNN with nine skippable blocks, as a sequence of segments."""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

WIDTHS = (24, 48)
BLOCKS = (5, 4)
"""Before and behind the downsampling."""


class ConvNorm(nn.Sequential):
    """A convolution and its batch norm; `folded` is both as one convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        norm = nn.BatchNorm2d(outputs)
        super().__init__(conv, norm)
        self._parts = (conv, norm)

    def folded(self) -> nn.Conv2d:
        """The same function at inference, without the norm."""
        return fuse_conv_bn_eval(*self._parts)


class Stem(nn.Module):
    """The first convolution: a grey image to `outputs` channels of the same size."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv: nn.Module = ConvNorm(1, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, h, w) to (n, outputs, h, w)."""
        return torch.relu(self.conv(x))


class Residual(nn.Module):
    """Two convolutions beside a shortcut. While training the branch is dropped per sample (stochastic depth,
    arXiv:1603.09382), which is what lets the trained net lose blocks later at little cost."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, drop: float = 0.0) -> None:
        super().__init__()
        self.conv1: nn.Module = ConvNorm(inputs, outputs, 3, stride)
        self.conv2: nn.Module = ConvNorm(outputs, outputs, 3)
        self.shortcut: nn.Module = nn.Identity() if inputs == outputs else ConvNorm(inputs, outputs, 1, stride)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        branch = self.conv2(torch.relu(self.conv1(x)))
        if self.training and self.drop > 0:
            kept = torch.rand(len(x), 1, 1, 1) >= self.drop
            branch = branch * kept / (1 - self.drop)
        return torch.relu(branch + self.shortcut(x))


class Head(nn.Module):
    """The mean over positions of each channel, to one logit per class."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, classes)."""
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


class DigitsNet(nn.Module):
    """Stem, blocks at 8x8, downsample, blocks at 4x4, head; `drop` is the mean chance of losing a branch."""

    def __init__(
        self, widths: tuple[int, int] = WIDTHS, blocks: tuple[int, int] = BLOCKS, drop: float = 0.3
    ) -> None:
        super().__init__()
        wide, deep = widths
        early, count = blocks[0], sum(blocks)
        # Later blocks are dropped more often: the linear rule of the stochastic depth paper, section 3.
        stages = [
            (f"block_{i + 1}", Residual(width, width, drop=2 * drop * (i + 1) / (count + 1)))
            for i, width in enumerate([wide] * early + [deep] * blocks[1])
        ]
        self.segments = nn.ModuleDict(
            {
                "stem": Stem(wide),
                **dict(stages[:early]),
                "downsample": Residual(wide, deep, stride=2),
                **dict(stages[early:]),
                "head": Head(deep, 10),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 8, 8) inputs in 0..1 to (n, 10) logits."""
        for segment in self.segments.values():
            x = segment(x)
        return x

    def inference_segments(self) -> list[tuple[str, nn.Module]]:
        """The named segments in inference form: evaluation mode, batch norms folded into their convolutions."""
        self.eval()
        for segment in self.segments.values():
            for name, child in list(segment.named_children()):
                if isinstance(child, ConvNorm):
                    setattr(segment, name, child.folded())
        return list(self.segments.items())
