"""A line of JSON as a frame. Pure."""

import base64
import binascii
from math import prod
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from tidegate.validation_words import in_words
from tidegate.worker.pictures import sample_of, takes_pictures
from tidegate.worker.protocol.refusals import BadRequest, shown
from tidegate.worker.streams.frame import Frame, Values
from tidegate.worker.streams.source import BadFrame

MAX_LINE_BYTES = 32 << 20


class _Line(BaseModel):
    """Either `data`, flat in row-major order, or a JPEG's or PNG's bytes in base64."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = ""
    datatype: Literal["UINT8", "FP32"] = "UINT8"
    data: list[float] | None = None
    picture: str | None = None


def frame_of_line(line: bytes, sample_shape: tuple[int, ...], where: str) -> Frame | BadFrame:
    """The frame, called by its `id` or else by `where` it stands."""
    try:
        asked = _Line.model_validate_json(line)
        return Frame(_values(asked, sample_shape, where), asked.id or where)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return BadFrame(": ".join(filter(None, (where, ".".join(map(str, first["loc"])), in_words(first["msg"])))))
    except (BadRequest, binascii.Error) as error:
        return BadFrame(str(error))


def _values(asked: _Line, sample_shape: tuple[int, ...], where: str) -> Values:
    if (asked.data is None) == (asked.picture is None):
        raise BadRequest(f"{where}: allowed is one of `data` and `picture`")
    if asked.picture is not None:
        if not takes_pictures(sample_shape):
            raise BadRequest(f"{where}.picture: the network takes none here")
        return sample_of(base64.b64decode(asked.picture, validate=True), sample_shape, where)
    values = np.asarray(asked.data, np.float64)
    if values.size != prod(sample_shape):
        raise BadRequest(f"{where}.data: found {values.size} values, allowed are {prod(sample_shape)}")
    if asked.datatype == "UINT8":
        if ((values < 0) | (values > 255) | (values != np.floor(values))).any():
            raise BadRequest(f"{where}.data: UINT8 values are whole numbers from 0 to 255")
        return values.astype(np.uint8).reshape(sample_shape)
    with np.errstate(over="ignore"):
        floats = values.astype(np.float32)
    if not np.isfinite(floats).all():
        index = int((~np.isfinite(floats)).argmax())
        raise BadRequest(f"{where}.data: value {index} is {shown(float(values[index]))}, not finite as FP32")
    return floats.reshape(sample_shape)
