"""Pictures of 3x224x224 and a ResNet-18 that can tell them apart: no accuracy worth a word, but true sizes."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from agent.calibration.digits.data import SCALE, load_split
from agent.calibration.ridge import Regression
from agent.calibration.split import Split, split_data
from agent.models.zoo.resnet import BasicBlock, ResNet

BATCH = 16
NOISE = 32
"""Brightest grey of the background, of 255."""

LOGIT = 10.0
"""What the fitted head aims at for the right class: answers as sure of themselves as a trained net's."""


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


def fitted_resnet18(split: Split, scale: float) -> nn.Module:
    """ResNet-18 with random features and a last layer fitted to part train in closed form. Sets torch's seed."""
    torch.manual_seed(0)
    net = ResNet(BasicBlock, (2, 2, 2, 2), classes=10)
    inputs, labels = split.train.inputs, split.train.known_labels
    fit = Regression(net.fc.in_features, net.fc.out_features)

    def watch(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        features.append(given[0].numpy())

    features: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    with torch.no_grad(), net.fc.register_forward_pre_hook(watch):
        # Batch norms take their means from these first, as they would in training.
        for training in (True, False):
            net.train(training)
            features.clear()
            for chunk in np.split(inputs, range(BATCH, len(inputs), BATCH)):
                net(torch.from_numpy(chunk).float() * scale)
        fit.add(np.concatenate(features), LOGIT * np.eye(10, dtype=np.float32)[labels])
        found = fit.linear(ridge=1e-2)
        net.fc.weight.copy_(torch.from_numpy(found.weight))
        net.fc.bias.copy_(torch.from_numpy(found.bias))
    return net.eval()
