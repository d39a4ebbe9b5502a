"""The networks of `bench pays`, at the size of what small devices run, and which of them anything was chosen by.

Figures of those that are held back are the ones to believe: nothing in tidegate was chosen by them.
"""

from collections.abc import Mapping

from torch import nn

from tidegate_bench.ladder.nets import SmallTransformer
from tidegate_bench.pays.recipe import Recipe, Seen, Sequence
from tidegate_bench.pays.strangers import Mixer, convnext, dense, grouped, hard_swish, temporal, vgg_at_56
from tidegate_bench.zoo.efficientnet import MBConv
from tidegate_bench.zoo.mobilenet_v2 import InvertedResidual
from tidegate_bench.zoo.resnet import BasicBlock
from tidegate_bench.zoo.segmented import ConvNorm


def resnet20() -> nn.Module:
    """Three stages of three basic blocks, 16, 32 and 64 channels wide (arXiv:1512.03385, section 4.2)."""
    blocks: list[nn.Module] = [ConvNorm(1, 16, activation=nn.ReLU())]
    inputs = 16
    for width in (16, 32, 64):
        for position in range(3):
            blocks.append(BasicBlock(inputs, width, 2 if position == 0 and width > 16 else 1))
            inputs = width
    return Sequence(*blocks, features=64, classes=10)


def inverted_residuals() -> nn.Module:
    """MobileNetV2's blocks at 28x28, expanding four times."""
    blocks: list[nn.Module] = [ConvNorm(1, 16, 3, 1, activation=nn.ReLU6())]
    for inputs, outputs, stride in (
        *((16, 16, 1),) * 2,
        (16, 24, 2),
        *((24, 24, 1),) * 3,
        (24, 40, 2),
        *((40, 40, 1),) * 3,
    ):
        blocks.append(InvertedResidual(inputs, outputs, stride, 4))
    return Sequence(*blocks, ConvNorm(40, 128, 1, activation=nn.ReLU6()), features=128, classes=10)


def squeeze_excite() -> nn.Module:
    """EfficientNet's blocks at 28x28: SiLU, squeeze and excitation."""
    blocks: list[nn.Module] = [ConvNorm(1, 16, 3, 1, activation=nn.SiLU())]
    for inputs, outputs, kernel, stride in (
        *((16, 16, 3, 1),) * 2,
        (16, 24, 3, 2),
        *((24, 24, 5, 1),) * 2,
        (24, 40, 5, 2),
        *((40, 40, 5, 1),) * 3,
    ):
        blocks.append(MBConv(inputs, outputs, kernel, stride, 4))
    return Sequence(*blocks, ConvNorm(40, 128, 1, activation=nn.SiLU()), features=128, classes=10)


def plain() -> nn.Module:
    """Eight 3x3 convolutions and two max pools, no shortcut (arXiv:1409.1556, narrower)."""
    layers: list[nn.Module] = []
    inputs = 1
    for width, depth in ((24, 2), (48, 3), (96, 3)):
        for _ in range(depth):
            layers.append(ConvNorm(inputs, width, activation=nn.ReLU()))
            inputs = width
        if width < 96:
            layers.append(nn.MaxPool2d(2))
    return Sequence(*layers, features=96, classes=10)


def transformer() -> nn.Module:
    """Five encoder layers of width 64 over 49 patches of 4x4."""
    return SmallTransformer(64, 5, patch=4, side=28)


def ds_cnn() -> nn.Module:
    """The depthwise separable network of keyword spotting (arXiv:1711.07128, DS-CNN, medium width)."""
    blocks: list[nn.Module] = [ConvNorm(1, 64, 5, 2, activation=nn.ReLU())]
    for _ in range(5):
        blocks += [ConvNorm(64, 64, 3, groups=64, activation=nn.ReLU()), ConvNorm(64, 64, 1, activation=nn.ReLU())]
    return Sequence(*blocks, features=64, classes=12)


NETWORKS: Mapping[str, Recipe] = {
    "resnet20, fashion-mnist": Recipe("residual", "fashion-mnist", resnet20, 3, 50_000, Seen.TUNED),
    "inverted residuals, fashion-mnist": Recipe(
        "inverted residual", "fashion-mnist", inverted_residuals, 2, 50_000, Seen.TUNED
    ),
    "squeeze-excite, fashion-mnist": Recipe("SiLU and SE", "fashion-mnist", squeeze_excite, 2, 50_000, Seen.TUNED),
    "plain, mnist": Recipe("plain", "mnist", plain, 10, 5_000, Seen.TUNED),
    "transformer, mnist": Recipe("transformer", "mnist", transformer, 16, 5_000, Seen.TUNED, 2e-3),
    "ds-cnn, keywords": Recipe("keyword spotting", "keywords", ds_cnn, 12, 5_000, Seen.TUNED),
    "hard-swish, keywords": Recipe("hard-swish and SE", "keywords", hard_swish, 8, 4_000, Seen.LOOKED_AT),
    "convnext, mnist": Recipe("ConvNeXt", "mnist", convnext, 14, 5_000, Seen.LOOKED_AT),
    "vgg, letters": Recipe("plain at 56x56", "letters", vgg_at_56, 4, 6_000, Seen.LOOKED_AT),
    "dense, letters": Recipe("dense", "letters", dense, 4, 6_000, Seen.HELD_BACK),
    "grouped, fashion-mnist": Recipe("grouped bottlenecks", "fashion-mnist", grouped, 3, 15_000, Seen.HELD_BACK),
    "mixer, mnist": Recipe("MLP-Mixer", "mnist", Mixer, 8, 5_000, Seen.HELD_BACK, 2e-3),
    "temporal, motions": Recipe("temporal convolutions", "motions", temporal, 4, 5_000, Seen.HELD_BACK),
}
