"""Six trained networks of different kinds, at the size of what small devices run; the search was tuned to none.

Each is a recipe: data set, network, epochs. What is trained is kept, and taken from there the next time.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from tidegate_bench.ladder.nets import SmallTransformer
from tidegate_bench.pays.datasets import SCALE, LabelledInputs
from tidegate_bench.progress import Progress
from tidegate_bench.zoo.efficientnet import MBConv
from tidegate_bench.zoo.mobilenet_v2 import InvertedResidual
from tidegate_bench.zoo.resnet import BasicBlock
from tidegate_bench.zoo.segmented import ConvNorm

BATCH = 100
MAX_RATE = 4e-3
SEED = 0
THREADS = 2


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network of one data set, and how long it is trained on how many inputs; `kind` is for the table."""

    kind: str
    data: str
    make: Callable[[], nn.Module]
    epochs: int
    trained_on: int
    max_rate: float = MAX_RATE


class Sequence(nn.Module):
    """Modules one after the other, then the mean over positions and a linear head."""

    def __init__(self, *body: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, classes)."""
        logits: Tensor = self.head(functional.adaptive_avg_pool2d(self.body(x), 1).flatten(1))
        return logits


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
    "resnet20, fashion-mnist": Recipe("residual", "fashion-mnist", resnet20, 3, 50_000),
    "inverted residuals, fashion-mnist": Recipe(
        "inverted residual", "fashion-mnist", inverted_residuals, 2, 50_000
    ),
    "squeeze-excite, fashion-mnist": Recipe("SiLU and SE", "fashion-mnist", squeeze_excite, 2, 50_000),
    "plain, mnist": Recipe("plain", "mnist", plain, 10, 5_000),
    "transformer, mnist": Recipe("transformer", "mnist", transformer, 16, 5_000, 2e-3),
    "ds-cnn, keywords": Recipe("keyword spotting", "keywords", ds_cnn, 12, 5_000),
}


def trained(name: str, data: LabelledInputs, folder: Path, progress: Progress) -> nn.Module:
    """A network in evaluation mode, from `folder` where it was trained before. Sets torch's seed and threads."""
    recipe = NETWORKS[name]
    facts = json.dumps([name, recipe.epochs, recipe.trained_on, recipe.max_rate, str(torch.__version__)])
    path = folder / f"pays-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.safetensors"
    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    net = recipe.make()
    if path.exists():
        net.load_state_dict(load_file(path))
        return net.eval()
    _fit(net, recipe, data, progress)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in net.state_dict().items()}, path)
    fresh = recipe.make()
    fresh.load_state_dict(load_file(path))
    return fresh.eval()


def _fit(net: nn.Module, recipe: Recipe, data: LabelledInputs, progress: Progress) -> None:
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # left out of torch's stubs
    inputs = torch.from_numpy(data.inputs[: recipe.trained_on])
    labels = torch.from_numpy(data.labels[: recipe.trained_on])
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    steps = recipe.epochs * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=recipe.max_rate, total_steps=steps)
    net.train()
    for epoch in range(recipe.epochs):
        total = 0.0
        for index in torch.split(torch.randperm(len(inputs)), BATCH):
            batch = _moved(inputs[index].float() * SCALE)
            loss = functional.cross_entropy(net(batch), labels[index], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch's stubs
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(index)
        progress(f"epoch {epoch + 1} of {recipe.epochs}: loss {total / len(inputs):.3f}")


def _moved(batch: Tensor) -> Tensor:
    """The whole batch by up to two pixels in both directions: another place at every step, at no cost."""
    down, right = (int(offset) for offset in torch.randint(0, 5, (2,)))
    height, width = batch.shape[2:]
    return functional.pad(batch, (2, 2, 2, 2))[:, :, down : down + height, right : right + width].contiguous(
        memory_format=torch.channels_last
    )
