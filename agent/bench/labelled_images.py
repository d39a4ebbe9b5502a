"""The data sets of the routing paper's classification: digits come along, others are the user's files."""

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.calibration.digits.data import load_split
from agent.engines.engine import Array
from agent.models.evidence import Raw

Labels = npt.NDArray[np.int64]

_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_IDX_UINT8 = 0x08


class ImagesError(Exception):
    """The images can't be had; the message says what is allowed and where the files are looked for."""


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
    """A data set by name. Raises ImagesError.

    `digits` comes with scikit-learn. `mnist` and `fashion-mnist` are IDX files in the directory `data`. `folder`
    is `data`/train/CLASS/* and `data`/test/CLASS/*, pictures that are all of one size.
    """
    loaders: dict[str, Callable[[Path], LabelledImages]] = {
        "mnist": lambda path: _idx(path, "MNIST"),
        "fashion-mnist": lambda path: _idx(path, "Fashion-MNIST"),
        "folder": _folder,
    }
    if dataset == "digits":
        return _digits(seed)
    if dataset not in loaders:
        raise ImagesError(f"--dataset {dataset}: there is none; allowed are digits, {', '.join(loaders)}")
    if data is None or not data.is_dir():
        raise ImagesError(f"--dataset {dataset}: give the directory of its files with --data, found {data}")
    return loaders[dataset](data)


def _digits(seed: int) -> LabelledImages:
    split = load_split(seed)
    rest = (split.search, split.certify, split.report)
    test = np.concatenate([part.inputs for part in rest])
    test_labels = np.concatenate([part.known_labels for part in rest])
    train = _flat(split.train.inputs, 16)
    return LabelledImages(split.name, train, split.train.known_labels, _flat(test, 16), test_labels, 10)


def _idx(path: Path, name: str) -> LabelledImages:
    train, train_labels, test, test_labels = (_read_idx(path, file) for file in _IDX_NAMES)
    return LabelledImages(
        name, _flat(train, 255), train_labels.astype(np.int64), _flat(test, 255), test_labels.astype(np.int64), 10
    )


def _read_idx(path: Path, name: str) -> npt.NDArray[np.uint8]:
    """One IDX file, packed or not: 0, 0, type, number of axes, their sizes big-endian, values."""
    plain, packed = path / name, path / f"{name}.gz"
    try:
        data = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    except (OSError, EOFError) as error:
        raise ImagesError(f"{plain}: neither it nor {packed.name} can be read: {error}") from error
    if len(data) < 4 or data[:3] != bytes((0, 0, _IDX_UINT8)):
        raise ImagesError(f"{plain}: is no IDX file of bytes, it begins with {data[:4].hex()}")
    axes = data[3]
    sizes = struct.unpack_from(f">{axes}I", data, 4) if len(data) >= 4 + 4 * axes else ()
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * len(sizes))
    if not sizes or len(values) != int(np.prod(sizes)):
        raise ImagesError(f"{plain}: says {sizes}, holds {len(values)} values")
    return values.reshape(sizes)


def _folder(path: Path) -> LabelledImages:
    classes = sorted(entry.name for entry in (path / "train").glob("*") if entry.is_dir())
    if len(classes) < 2:
        raise ImagesError(f"{path / 'train'}: needs a directory of pictures per class, found {len(classes)}")
    train, train_labels = _pictures(path / "train", classes)
    test, test_labels = _pictures(path / "test", classes)
    if train.shape[1:] != test.shape[1:]:
        raise ImagesError(f"{path}: training pictures are {train.shape[1:]}, test pictures {test.shape[1:]}")
    return LabelledImages(path.name, _flat(train, 255), train_labels, _flat(test, 255), test_labels, len(classes))


def _pictures(path: Path, classes: list[str]) -> tuple[npt.NDArray[np.uint8], Labels]:
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - an extra that only folders need
    except ModuleNotFoundError as error:
        raise ImagesError(f"{path}: pictures need {error.name}; install tidegate[data]") from error
    arrays, labels = [], []
    for label, name in enumerate(classes):
        for file in sorted((path / name).glob("*")):
            try:
                with Image.open(file) as picture:
                    arrays.append(np.asarray(picture.convert("RGB")))
            except (OSError, UnidentifiedImageError) as error:
                raise ImagesError(f"{file}: is no picture: {error}") from error
            labels.append(label)
    if not arrays or len({array.shape for array in arrays}) != 1:
        sizes = sorted({array.shape for array in arrays})[:3]
        raise ImagesError(f"{path}: {len(arrays)} pictures of sizes {sizes}, must be some of one size")
    return np.stack(arrays), np.array(labels, np.int64)


def _flat(values: Raw, largest: int) -> Array:
    scaled: Array = (values.reshape(len(values), -1) / np.float32(largest)).astype(np.float32)
    return scaled
