"""A user's own weights and images in the place of the small variants: accuracy at full size."""

from pathlib import Path

import numpy as np

from agent.bench.full_network import full_network
from agent.bench.zoo_on_digits import Samples, Trained
from agent.models.zoo.catalog import ZOO

SHARES = (0.2, 0.6, 0.2)
"""Of the images, to search, certify and report: certification needs the most."""

LEAST_IMAGES = 500


class ImagesError(Exception):
    """The images can't be used; the message says what was found and what is allowed."""


def load_own(name: str, resolution: int, weights: Path, images: Path, seed: int) -> Trained:
    """A network with the user's weights, and the images cut at random.

    `images` is an npz with `inputs` (n, channels, height, width) float32, normalised as the weights expect, and
    `labels` (n,) whole numbers. Raises ImagesError and WeightsError.
    """
    samples = _read(images, (ZOO[name].channels, resolution, resolution))
    order = np.random.default_rng(seed).permutation(len(samples.labels))
    cuts = np.cumsum([int(share * len(order)) for share in SHARES[:2]])
    parts = [
        Samples(samples.inputs[np.sort(index)], samples.labels[np.sort(index)]) for index in np.split(order, cuts)
    ]
    return Trained(full_network(name, resolution, weights), *parts)


def _read(path: Path, shape: tuple[int, int, int]) -> Samples:
    try:
        with np.load(path, allow_pickle=False) as file:
            inputs, labels = file["inputs"], file["labels"]
    except (OSError, ValueError, KeyError) as error:
        raise ImagesError(f"{path}: must be an npz with inputs and labels: {error}") from error
    if inputs.shape[1:] != shape or inputs.dtype != np.float32:
        raise ImagesError(f"{path}: inputs are {inputs.dtype} {inputs.shape}, must be float32 (n, {shape})")
    if labels.shape != (len(inputs),) or not np.issubdtype(labels.dtype, np.integer):
        raise ImagesError(
            f"{path}: labels are {labels.dtype} {labels.shape}, must be whole numbers ({len(inputs)},)"
        )
    if len(inputs) < LEAST_IMAGES:
        raise ImagesError(f"{path}: {len(inputs)} images, at least {LEAST_IMAGES} are needed to certify 1.5 %")
    return Samples(inputs, labels.astype(np.int64))
