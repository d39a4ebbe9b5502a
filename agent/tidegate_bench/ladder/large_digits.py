"""Pictures of 3x224x224 and a ResNet-18 that has learnt to tell them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tidegate.calibration.data.digits.data import SCALE, load_split
from tidegate.calibration.data.digits.training import set_up
from tidegate.calibration.data.split import Split, split_data
from tidegate.calibration.progress import Progress, silent
from tidegate_bench.zoo.resnet import BasicBlock, ResNet

BATCH = 20
NOISE = 32
"""Brightest grey of the background, of 255."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Epochs on pictures whose side is the whole one's divided by `shrink`."""

    shrink: int
    epochs: int
    max_rate: float


STAGES = (Stage(4, 12, 2e-3), Stage(2, 4, 1e-3), Stage(1, 2, 5e-4))


def large_digits(sizes: tuple[int, int, int, int], side: int = 224, seed: int = 0) -> Split:
    """Scanned digits in grey noise, (n, 3, side, side) uint8, enlarged to seven eighths of the side, each a
    little elsewhere, cut into train, search, certify, report."""
    rng = np.random.default_rng(seed)
    whole = load_split(seed, (sum(sizes), 0, 0, 0)).train
    large = side * 7 // 8
    inputs = np.empty((len(whole), 3, side, side), np.uint8)
    for picture, digit in zip(inputs, whole.inputs, strict=True):
        picture[:] = rng.integers(0, NOISE, (3, side, side), np.uint8)
        top, left = rng.integers(0, side - large + 1, 2)
        pixels = torch.from_numpy(digit[None]).float() * SCALE * (255 - NOISE)
        grown = functional.interpolate(pixels, (large, large), mode="bilinear")[0].numpy()
        picture[:, top : top + large, left : left + large] += grown.astype(np.uint8)
    return split_data("scikit-learn load_digits, enlarged", inputs, whole.known_labels, sizes, seed)


def trained_resnet18(
    split: Split, scale: float, progress: Progress = silent, stages: Sequence[Stage] = STAGES
) -> nn.Module:
    """ResNet-18 trained on part train, in minutes, as most of it is on shrunken pictures.

    Sets torch's seed and thread count.
    """
    set_up(0)
    net: nn.Module = ResNet(BasicBlock, (2, 2, 2, 2), classes=10)
    # Channels last is the faster way to train convolutions; torch's stubs leave the argument out.
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    inputs, labels = torch.from_numpy(split.train.inputs), torch.from_numpy(split.train.known_labels)
    for stage in stages:
        progress(f"training on pictures of 1/{stage.shrink} of their side")
        _fit(net, inputs, labels, scale, stage)
    return net.eval()


def _fit(net: nn.Module, inputs: Tensor, labels: Tensor, scale: float, stage: Stage) -> None:
    whole = len(inputs) // BATCH * BATCH
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    steps = stage.epochs * whole // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, stage.max_rate, total_steps=steps, pct_start=0.2)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    net.train()
    for _ in range(stage.epochs):
        for index in torch.split(torch.randperm(len(inputs))[:whole], BATCH):
            batch = functional.avg_pool2d(inputs[index].float() * scale, stage.shrink)
            loss = loss_of(net(batch.contiguous(memory_format=torch.channels_last)), labels[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
