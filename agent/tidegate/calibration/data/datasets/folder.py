"""A folder of pictures: one subfolder per class in alphabetical order, or pictures alone without labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.calibration.data.datasets.dataset import PIXEL_SCALE, DataError, Dataset

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
MAX_PIXELS = 64_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """What the model takes: square pictures of `size` pixels a side, grey or in colour."""

    size: int
    grey: bool = False


def read_folder(path: Path, picture: Picture) -> Dataset:
    """Every picture, its shorter side resized to the size and its middle cut out. Raises DataError."""
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir())
    groups = [_pictures(folder) for folder in classes] if classes else [_pictures(path)]
    files = [file for group in groups for file in group]
    if not files:
        raise DataError(f"{path}: no pictures in it; allowed are {', '.join(sorted(SUFFIXES))}")
    inputs = np.stack([_read(file, picture) for file in files])
    if not classes:
        return Dataset(path.name, inputs, None, None, PIXEL_SCALE)
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    names = tuple(folder.name for folder in classes)
    return Dataset(path.name, inputs, labels.astype(np.int64), names, PIXEL_SCALE)


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def _read(file: Path, picture: Picture) -> npt.NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - an extra that other forms of data do without

    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise DataError(f"{file}: {opened.width}x{opened.height} pixels, allowed are {MAX_PIXELS}")
            image = opened.convert("L" if picture.grey else "RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{file}: {error}") from error
    factor = picture.size / min(image.size)
    width, height = (max(picture.size, round(side * factor)) for side in image.size)
    image = image.resize((width, height))
    left, top = (image.width - picture.size) // 2, (image.height - picture.size) // 2
    pixels = np.asarray(image.crop((left, top, left + picture.size, top + picture.size)), np.uint8)
    return pixels[None] if picture.grey else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
