"""Frigate's detector protocol as frames in and frames out. Pure.

As spoken by frigate/detectors/plugins/zmq_ipc.py of github.com/blakeblackshear/frigate since pull request 19592:
a request is a JSON header and at most one frame of bytes; detections are answered as float32 of shape (20, 6),
questions about the model with one JSON object.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tidegate.validation_words import in_words

Bytes = bytes | memoryview
Rows = npt.NDArray[np.float32]

DETECTIONS, COLUMNS = 20, 6
MAX_HEADER_BYTES = 4096
MAX_NAME_CHARACTERS = 255
DATATYPES: Mapping[str, np.dtype[np.generic]] = {"uint8": np.dtype(np.uint8), "float32": np.dtype("<f4")}
"""What Frigate sends, by its `input_dtype`: int; float and float_denorm."""


class Refused(Exception):  # noqa: N818 - reads as what it is at the call site
    """A request that can't be answered with boxes; the message says what was found and what is allowed."""


@dataclass(frozen=True, slots=True)
class ModelAsked:
    """Frigate asks whether the detector has a model of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class ModelSent:
    """Frigate hands its model over: the content of an .onnx file."""

    name: str
    content: Bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """A region of a camera's frame, shaped as Frigate's `input_tensor` says: (1, h, w, c) or (1, c, h, w).

    `model_type` is how the model's output is to be read; empty from Frigate versions that don't say.
    """

    values: npt.NDArray[np.generic]
    model_type: str


class _Header(BaseModel):
    """The first frame; unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, protected_namespaces=())

    model_request: bool = False
    model_data: bool = False
    model_name: str = Field("", max_length=MAX_NAME_CHARACTERS)
    shape: list[int] = Field([], max_length=8)
    dtype: str = "uint8"
    model_type: str = Field("", max_length=64)

    @field_validator("model_name", "model_type")
    @classmethod
    def _in_one_line(cls, text: str) -> str:
        # They are logged, and a line break would begin a line of a stranger's.
        if not text.isprintable():
            raise ValueError("allowed are printable characters")
        return text


def read(frames: Sequence[Bytes]) -> ModelAsked | ModelSent | Picture:
    """The request in a message's frames; a picture's values are those of its frame, not a copy. Raises Refused."""
    if not frames or len(frames[0]) > MAX_HEADER_BYTES:
        raise Refused(
            f"a message of {len(frames)} frames; first comes a JSON header of at most {MAX_HEADER_BYTES} bytes"
        )
    try:
        header = _Header.model_validate_json(bytes(frames[0]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "header"
        raise Refused(f"{where}: {in_words(first['msg'])}") from None
    if header.model_request:
        return ModelAsked(header.model_name)
    if len(frames) != 2:
        raise Refused(
            f"a request of {len(frames)} frames; allowed are a header and the bytes of a picture or a model"
        )
    if header.model_data:
        return ModelSent(header.model_name, frames[1])
    return Picture(_values(header, frames[1]), header.model_type)


def _values(header: _Header, content: Bytes) -> npt.NDArray[np.generic]:
    datatype = DATATYPES.get(header.dtype)
    if datatype is None:
        raise Refused(f"dtype: found {header.dtype[:40]!r}, allowed are {', '.join(DATATYPES)}")
    if len(header.shape) != 4 or min(header.shape) < 1 or header.shape[0] != 1:
        raise Refused(f"shape: found {header.shape}, allowed is one picture as [1, h, w, c] or [1, c, h, w]")
    size = datatype.itemsize
    for extent in header.shape:
        size *= extent
    if size != len(content):
        raise Refused(
            f"shape: {header.shape} of {header.dtype} takes {size} bytes, the picture has {len(content)}"
        )
    return np.frombuffer(content, datatype).reshape(header.shape)


def detections(rows: Rows) -> list[bytes]:
    """The reply to a picture; `rows` of shape (20, 6)."""
    header = {"shape": [DETECTIONS, COLUMNS], "dtype": "float32"}
    return [json.dumps(header).encode(), rows.astype("<f4").tobytes()]


NOTHING_FOUND = detections(np.zeros((DETECTIONS, COLUMNS), np.float32))
"""What Frigate itself takes in the place of an answer that doesn't come in time."""


def about_model(name: str, *, available: bool, loaded: bool, message: str) -> list[bytes]:
    """The reply to ModelAsked."""
    document = {"model_available": available, "model_loaded": loaded, "model_name": name, "message": message}
    return [json.dumps(document).encode()]


def model_taken(name: str, *, saved: bool, loaded: bool, message: str) -> list[bytes]:
    """The reply to ModelSent."""
    document = {"model_saved": saved, "model_loaded": loaded, "model_name": name, "message": message}
    return [json.dumps(document).encode()]
