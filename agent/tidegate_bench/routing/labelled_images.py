"""The data sets of the routing paper's classification: digits come along, others are the user's files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.calibration.data.datasets import DataError, Dataset, ImageSpec, read_data
from tidegate.calibration.data.digits.data import SCALE, load_split
from tidegate.engines.engine import Array
from tidegate.models.bundle.evidence import Raw, scaled

Labels = npt.NDArray[np.int64]

IMAGES = ImageSpec(32)


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Flattened images (n, pixels) in 0..1 with labels 0..classes-1, to train and to test."""

    name: str
    train: Array
    train_labels: Labels
    test: Array
    test_labels: Labels
    classes: int


def load_images(dataset: str, data: Path | None, seed: int) -> LabelledImages:
    """A data set by name. Raises DataError.

    `digits` comes with scikit-learn. `mnist` and `fashion-mnist` are IDX files in the directory `data`. `folder`
    is `data`/train/CLASS/* and `data`/test/CLASS/*.
    """
    loaders: dict[str, Callable[[Path], LabelledImages]] = {
        "mnist": _idx,
        "fashion-mnist": _idx,
        "folder": _folder,
    }
    if dataset == "digits":
        return _digits(seed)
    if dataset not in loaders:
        raise DataError(f"--dataset {dataset}: there is none; allowed are digits, {', '.join(loaders)}")
    if data is None or not data.is_dir():
        raise DataError(f"--dataset {dataset}: give the directory of its files with --data, found {data}")
    return loaders[dataset](data)


def _digits(seed: int) -> LabelledImages:
    split = load_split(seed)
    rest = (split.search, split.certify, split.report)
    test = np.concatenate([part.inputs for part in rest])
    test_labels = np.concatenate([part.known_labels for part in rest])
    train = _flat(split.train.inputs, SCALE)
    return LabelledImages(split.name, train, split.train.known_labels, _flat(test, SCALE), test_labels, 10)


def _idx(path: Path) -> LabelledImages:
    return _joined(
        *(read_data(_existing(path, f"{part}-images-idx3-ubyte"), IMAGES) for part in ("train", "t10k"))
    )


def _existing(path: Path, name: str) -> Path:
    packed = path / f"{name}.gz"
    return packed if packed.exists() else path / name


def _folder(path: Path) -> LabelledImages:
    return _joined(read_data(path / "train", IMAGES), read_data(path / "test", IMAGES))


def _joined(train: Dataset, test: Dataset) -> LabelledImages:
    if train.labels is None or test.labels is None:
        raise DataError(f"{train.name} and {test.name}: both parts need labels")
    if train.inputs.shape[1:] != test.inputs.shape[1:] or train.classes != test.classes:
        raise DataError(
            f"{train.name} and {test.name}: shapes {train.inputs.shape[1:]} and {test.inputs.shape[1:]}, classes "
            f"{train.classes} and {test.classes}; both must agree"
        )
    inputs, test_inputs = (_flat(part.inputs, part.scale) for part in (train, test))
    classes = int(train.labels.max()) + 1
    return LabelledImages(train.name, inputs, train.labels, test_inputs, test.labels, classes)


def _flat(raw: Raw, scale: float) -> Array:
    return scaled(raw.reshape(len(raw), -1), scale)
