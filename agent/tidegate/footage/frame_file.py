"""A frame in a file: a network's input to the bit, smaller where it has few different values, as pictures have."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.files import read_file

LIMIT_BYTES = 256 << 20
FEW = 1 << 16
"""Different values that a code of two bytes can name."""


class FrameError(TidegateError, ValueError):
    """A file holds no frame; the message says which."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Frame:
    """An input (*input shape) as the network took it, its source, and the point that differed, if one did."""

    values: npt.NDArray[np.float32]
    source: str
    point: str = ""


def encoded(frame: Frame) -> bytes:
    """A file's content: an .npz."""
    packed: dict[str, Any] = {"source": np.str_(frame.source), "point": np.str_(frame.point)}
    bits = np.ascontiguousarray(frame.values, np.float32).view(np.uint32)
    # By their bits: NaN equals itself then, and -0 stays what it is.
    values, codes = np.unique(bits, return_inverse=True)
    if len(values) <= FEW:
        packed |= {
            "values": values,
            "codes": codes.reshape(bits.shape).astype(np.min_scalar_type(max(0, len(values) - 1))),
        }
    else:
        packed |= {"bits": bits}
    content = io.BytesIO()
    np.savez_compressed(content, **packed)
    return content.getvalue()


def decoded(content: bytes, where: str) -> Frame:
    """What `encoded` made. Raises FrameError for anything else."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as packed:
            bits = packed["bits"] if "bits" in packed else packed["values"][packed["codes"]]
            if bits.dtype != np.uint32:
                raise FrameError(f"{where}: no frame: its values are {bits.dtype}")
            return Frame(bits.view(np.float32), str(packed["source"]), str(packed["point"]))
    except (OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise FrameError(f"{where}: no frame: {error}") from error


def read_frame(path: Path) -> Frame:
    """Raises OSError, FrameError."""
    return decoded(read_file(path, LIMIT_BYTES), str(path))
