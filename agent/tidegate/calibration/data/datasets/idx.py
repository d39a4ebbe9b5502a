"""IDX, the format of MNIST: a magic number, big-endian sizes, then bytes; the files may be gzipped.

Format: yann.lecun.org/exdb/mnist, "FILE FORMATS FOR THE MNIST DATABASE".
"""

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.calibration.data.datasets.dataset import PIXEL_SCALE, DataError, Dataset, channels_first

_UNSIGNED_BYTE = 8
_IMAGES, _LABELS = "images", "labels"


def is_idx(path: Path) -> bool:
    """A file named like one, or a directory with one file of images in it."""
    return "ubyte" in path.name if path.is_file() else bool(path.is_dir() and _images_in(path))


def read_idx(path: Path) -> Dataset:
    """Images from a file or directory, with the labels that lie beside them. Raises DataError."""
    found = _images_in(path) if path.is_dir() else [path]
    if len(found) != 1:
        names = ", ".join(file.name for file in found)
        raise DataError(f"{path}: holds several files of images ({names}); name one of them")
    images_file = found[0]
    images = _read(images_file)
    if images.ndim < 3:
        raise DataError(f"{images_file}: has {images.ndim} axes; images have at least 3")
    labels_file = images_file.with_name(images_file.name.replace(_IMAGES, _LABELS).replace("idx3", "idx1"))
    labels = None
    if labels_file != images_file and labels_file.exists():
        labels = _read(labels_file).astype(np.int64)
        if labels.shape != (len(images),):
            raise DataError(f"{labels_file}: {labels.shape} labels for {len(images)} images")
    return Dataset(images_file.name, channels_first(images), labels, None, PIXEL_SCALE)


def _images_in(directory: Path) -> list[Path]:
    return sorted(file for file in directory.glob(f"*{_IMAGES}*ubyte*") if file.is_file())


def _read(path: Path) -> npt.NDArray[np.uint8]:
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise DataError(f"{path}: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path}: is not an IDX file of bytes; it begins with {data[:4].hex()}")
    axes = data[3]
    start = 4 + 4 * axes
    if len(data) < start:
        raise DataError(f"{path}: ends within its header")
    sizes = struct.unpack(f">{axes}I", data[4:start])
    if len(data) - start != math.prod(sizes):
        raise DataError(f"{path}: {len(data) - start} bytes of values, {sizes} needs {math.prod(sizes)}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(sizes)
