"""What every form of data becomes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.bundle.evidence import Objects, Raw

PIXEL_SCALE = 1 / 255
"""Bytes of pixels to 0..1; any other normalisation belongs into the model, where devices apply it too."""


class DataError(TidegateError):
    """Data can't be read; the message says where, what was found and what is allowed."""

    exit_code = EX_DATAERR


LARGEST_WHOLE = 2**24
"""Up to it float32, which networks compute in, holds every whole number."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Inputs (n, *input shape) raw, labels (n,), names of classes and objects where there are any.

    `scale` times a raw value is the model's input; with `whole` these are whole numbers, as models take them that
    look words up. `parts` are the shapes, by name, of what the inputs are joined of, if they are. `files` (n,) are
    the inputs' own, empty where one file holds all.
    """

    name: str
    inputs: Raw
    labels: npt.NDArray[np.int64] | None
    classes: tuple[str, ...] | None
    scale: float
    files: tuple[str, ...] = ()
    objects: Objects | None = None
    whole: bool = False
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def raw_values(given: npt.NDArray[Any], where: str) -> tuple[Raw, float, bool]:
    """Inputs, their scale, and whether the model gets whole numbers; bytes are pixels. Raises DataError."""
    if given.dtype == np.uint8:
        return given, PIXEL_SCALE, False
    if given.dtype.kind in "iu":
        if given.size and max(abs(int(given.min())), abs(int(given.max()))) > LARGEST_WHOLE:
            raise DataError(
                f"{where}: whole numbers reach from {given.min()} to {given.max()}; allowed are {LARGEST_WHOLE} "
                "either way, which float32 holds"
            )
        return given.astype(np.float32), 1.0, True
    if given.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = given.astype(np.float32)
        lost = np.argwhere(~np.isfinite(values))
        if len(lost):
            raise DataError(
                f"{where}: {given[tuple(lost[0])]} at {tuple(lost[0].tolist())}, and {len(lost) - 1} more like "
                "it; allowed are numbers that float32 holds; take those inputs out"
            )
        return values, 1.0, False
    raise DataError(
        f"{where}: inputs are {given.dtype}; allowed are uint8 (pixels), wider whole numbers and floats (as they "
        "are)"
    )


def channels_first(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(n, h, w) or (n, h, w, 1 or 3) to (n, channels, h, w); anything else is left as it is."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[-1] in {1, 3} and images.shape[1] not in {1, 3}:
        return np.ascontiguousarray(np.moveaxis(images, -1, 1))
    return images
