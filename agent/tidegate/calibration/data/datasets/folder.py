"""A folder of images: one subfolder per class in alphabetical order, or images alone without labels."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.calibration.data.datasets.dataset import PIXEL_SCALE, DataError, Dataset

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
MAX_PIXELS = 64_000_000
MAX_TIMES_LONGER = 100
"""A side than the other: resized to the size, a longer one would take gigabytes."""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What the model takes: square images of `size` pixels a side, grey or in colour."""

    size: int
    grey: bool = False


def read_folder(path: Path, spec: ImageSpec) -> Dataset:
    """Every image, its shorter side resized to the size and its middle cut out. Raises DataError."""
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir())
    groups = [_images(folder) for folder in classes] if classes else [_images(path)]
    files = [file for group in groups for file in group]
    if not files:
        raise DataError(f"{path}: no images in it; allowed are {', '.join(sorted(SUFFIXES))}")
    inputs = np.stack([_read(file, spec) for file in files])
    names_of_files = tuple(str(file.relative_to(path)) for file in files)
    if not classes:
        return Dataset(path.name, inputs, None, None, PIXEL_SCALE, names_of_files)
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    names = tuple(folder.name for folder in classes)
    return Dataset(path.name, inputs, labels.astype(np.int64), names, PIXEL_SCALE, names_of_files)


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def _read(file: Path, spec: ImageSpec) -> npt.NDArray[np.uint8]:
    from PIL import Image  # noqa: PLC0415 - an extra that other forms of data do without

    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise DataError(f"{file}: {opened.width}x{opened.height} pixels, allowed are {MAX_PIXELS}")
            if max(opened.size) > MAX_TIMES_LONGER * min(opened.size):
                raise DataError(
                    f"{file}: {opened.width}x{opened.height} pixels, allowed is a side {MAX_TIMES_LONGER} times "
                    "as long as the other; cut it or take it out"
                )
            image = opened.convert("L" if spec.grey else "RGB")
    # Pillow's decoders raise any of these for files that break off or lie about their size.
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: {error}; take it out, or put a picture there that opens") from error
    factor = spec.size / min(image.size)
    width, height = (max(spec.size, round(side * factor)) for side in image.size)
    image = image.resize((width, height))
    left, top = (image.width - spec.size) // 2, (image.height - spec.size) // 2
    pixels = np.asarray(image.crop((left, top, left + spec.size, top + spec.size)), np.uint8)
    return pixels[None] if spec.grey else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
