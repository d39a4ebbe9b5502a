"""Pictures as files have them, JPEG or PNG, become samples of a network's size. Needs Pillow, an extra.

The shorter side is brought to the network's and the middle cut out, as `bundle build` reads a folder of pictures
(tidegate.calibration.data.datasets.folder). A JPEG is decoded at a half, a quarter or an eighth of its size where
that is still twice the network's: that costs a fraction, and changes pixels by next to nothing.
"""

import io
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from tidegate.worker.protocol.refusals import BadRequest

FORMATS = ("JPEG", "PNG")
MODES = {1: "L", 3: "RGB"}
"""By the network's channels."""
MAX_PIXELS = 32_000_000
"""Of one picture: 96 MB while it is decoded, whatever its file's size."""
MAX_STRETCH = 8
"""Of the longer side over the shorter one: the rest is cut off, but a strip would be made huge before that."""


def is_of_pictures(sample_shape: tuple[int, ...]) -> bool:
    """Whether it is (channels, height, width) of a grey picture or one in colour."""
    return len(sample_shape) == 3 and sample_shape[0] in MODES


def takes_pictures(sample_shape: tuple[int, ...]) -> bool:
    """Whether files of pictures can be made into samples of this shape here."""
    return is_of_pictures(sample_shape) and find_spec("PIL") is not None


def sample_of(content: bytes | memoryview, sample_shape: tuple[int, ...], where: str) -> npt.NDArray[np.uint8]:
    """A picture's bytes as (channels, height, width). Raises BadRequest for what is none, or too large."""
    from PIL import Image  # noqa: PLC0415 - few agents are sent pictures

    channels, height, width = sample_shape
    mode = MODES[channels]
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            _check_size(opened.size, where)
            opened.draft(mode, (2 * width, 2 * height))
            picture = opened.convert(mode)
    except BadRequest:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's plugins raise whatever their format's parser does
        text = (
            str(error) if isinstance(error, OSError) and "cannot identify" not in str(error) else "neither of them"
        )
        raise BadRequest(
            f"{where}: no picture that can be read ({text[:100]}); allowed are JPEG and PNG, whole"
        ) from None
    factor = max(height / picture.height, width / picture.width)
    picture = picture.resize(
        (max(width, round(picture.width * factor)), max(height, round(picture.height * factor)))
    )
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    pixels = np.asarray(picture.crop((left, top, left + width, top + height)), np.uint8)
    return pixels[None] if channels == 1 else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def _check_size(size: tuple[int, int], where: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise BadRequest(f"{where}: a picture of {width}x{height} pixels; allowed are {MAX_PIXELS} pixels")
    if max(size) > MAX_STRETCH * min(size):
        raise BadRequest(
            f"{where}: a picture of {width}x{height}; allowed is one side of at most {MAX_STRETCH} others"
        )
