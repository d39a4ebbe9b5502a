"""A user's own weights and images in the place of the small variants: accuracy at full size."""

from pathlib import Path

import numpy as np

from tidegate.calibration.data.datasets import DataError, ImageSpec, read_data
from tidegate.engines.engine import Array
from tidegate.models.bundle.evidence import Raw, scaled
from tidegate_bench.adaptive_activation.full_network import full_network
from tidegate_bench.adaptive_activation.zoo_on_digits import Samples, Trained
from tidegate_bench.zoo.catalog import ZOO

SHARES = (0.2, 0.6, 0.2)
"""Of the images, to search, certify and report: certification needs the most."""

LEAST_IMAGES = 500
MOST_IMAGES = 5000
"""As floats of 3x224x224 these are 3 GB; of more images some are taken at random."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the red, green and blue values in 0..1 that the published weights were trained with."""


def load_own(name: str, resolution: int, weights: Path, data: Path, seed: int) -> Trained:
    """A network with the user's weights, and the images cut at random.

    `data` is anything that `bundle build` reads, with labels. Colour pixels are normalised as ImageNet's; floats
    are taken as they are. Raises DataError and WeightsError.
    """
    shape = (ZOO[name].channels, resolution, resolution)
    found = read_data(data, ImageSpec(resolution, grey=shape[0] == 1))
    if found.labels is None:
        raise DataError(f"{data}: has no labels, and accuracy needs them")
    if found.inputs.shape[1:] != shape or len(found.labels) < LEAST_IMAGES:
        raise DataError(
            f"{data}: {len(found.labels)} inputs of shape {found.inputs.shape[1:]}; {name} takes {shape}, and "
            f"at least {LEAST_IMAGES} are needed to certify 1.5 %"
        )
    order = np.random.default_rng(seed).permutation(len(found.labels))[:MOST_IMAGES]
    chosen = map(np.sort, np.split(order, np.cumsum([int(share * len(order)) for share in SHARES[:2]])))
    parts = [Samples(_normalised(found.inputs[index], found.scale), found.labels[index]) for index in chosen]
    return Trained(full_network(name, resolution, weights), *parts)


def _normalised(raw: Raw, scale: float) -> Array:
    values = scaled(raw, scale)
    if raw.dtype != np.uint8 or raw.shape[1] != len(IMAGENET_MEAN):
        return values
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (IMAGENET_MEAN, IMAGENET_STD))
    normalised: Array = (values - mean) / std
    return normalised
