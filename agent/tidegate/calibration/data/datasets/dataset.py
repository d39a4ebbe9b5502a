"""What every form of data becomes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.bundle.evidence import Raw

PIXEL_SCALE = 1 / 255
"""Bytes of pixels to 0..1; any other normalisation belongs into the model, where devices apply it too."""


class DataError(TidegateError):
    """Data can't be read; the message says where, what was found and what is allowed."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Dataset:
    """Inputs (n, *input shape) raw, labels (n,) and names of classes where there are any.

    `scale` times a raw value is the model's input.
    """

    name: str
    inputs: Raw
    labels: npt.NDArray[np.int64] | None
    classes: tuple[str, ...] | None
    scale: float


def channels_first(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(n, h, w) or (n, h, w, 1 or 3) to (n, channels, h, w); anything else is left as it is."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[-1] in {1, 3} and images.shape[1] not in {1, 3}:
        return np.ascontiguousarray(np.moveaxis(images, -1, 1))
    return images
