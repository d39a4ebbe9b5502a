"""The zoo's small variants trained on scanned digits, so that their figures rest on real data and real weights.

The digits have 8x8 pixels; enlarged to 32x32 they fit networks that halve their input five times. That adds no
detail: what a smaller input resolution costs is told too kindly here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tidegate.calibration.data.digits.data import SCALE, load_split
from tidegate.calibration.data.digits.training import fit
from tidegate.calibration.data.split import Part
from tidegate.engines.engine import Array
from tidegate.models.importing.export_network import export_network
from tidegate.models.network import TrainedNetwork
from tidegate_bench.progress import Progress
from tidegate_bench.zoo.catalog import SMALL_RESOLUTION, ZOO
from tidegate_bench.zoo.folding import inference_segments

EPOCHS = 30
THREADS = 1
"""More only wait for each other on layers this small; the number is part of what makes a training repeat."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs (n, 1, 32, 32) with labels (n,)."""

    inputs: Array
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network with the data it has not seen."""

    network: TrainedNetwork
    search: Samples
    certify: Samples
    report: Samples


def train_small(name: str, seed: int, epochs: int = EPOCHS, progress: Progress = lambda _: None) -> Trained:
    """The small variant of a network of the zoo. Sets torch's seed and thread count for this process."""
    split = load_split(seed)
    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    net = ZOO[name].small()
    fit(net, split.train, epochs, lambda text: progress(f"{name}: {text}"), lambda x: _enlarged(_moved(x)))
    example = torch.zeros(2, 1, SMALL_RESOLUTION, SMALL_RESOLUTION)
    network = export_network(inference_segments(net), example)
    return Trained(network, *map(_samples, (split.search, split.certify, split.report)))


def _moved(images: Tensor) -> Tensor:
    """The batch moved by up to one pixel in both directions, zeros moving in."""
    down, right = torch.randint(0, 3, (2,)).tolist()
    return functional.pad(images, (1, 1, 1, 1))[
        :, :, down : down + images.shape[2], right : right + images.shape[3]
    ]


def _enlarged(images: Tensor) -> Tensor:
    return functional.interpolate(
        images, (SMALL_RESOLUTION, SMALL_RESOLUTION), mode="bilinear", align_corners=False
    )


def _samples(part: Part) -> Samples:
    return Samples(_enlarged(torch.from_numpy(part.inputs).float() * SCALE).numpy(), part.known_labels)
