"""The Open Inference Protocol (KServe v2), JSON form: requests checked at the border, replies built.

Specification: https://github.com/kserve/open-inference-protocol (inference REST API).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from math import prod
from operator import mul
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tidegate.engines.engine import Array

MAX_SAMPLES = 64
"""Samples in one request: a bigger batch would hold up everybody else in the queue."""
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of a whole batch; a model whose single sample needs more may have that one."""
VALUE_BYTES = 32
"""A float64 in full is 24 characters, with its sign and exponent; the rest is comma, blanks and line breaks."""
ENVELOPE_BYTES = 64 * 1024
"""Names, id, parameters and brackets."""
ENVELOPE_ITEMS = 1024
"""Lists, objects and strings of a request beside its data."""
SHOWN_CHARACTERS = 60

Datatype = Literal["FP32", "UINT8"]
KINDS: dict[type, str] = {bool: "a boolean", str: "a string"}


class BadRequest(Exception):  # noqa: N818 - the protocol's own term
    """The request can't be answered; the message says where, what was found and what is allowed."""


@dataclass(frozen=True, slots=True)
class Interface:
    """What requests may ask of the model; `scale` turns raw UINT8 values into what the network was trained on."""

    input_name: str
    sample_shape: tuple[int, ...]
    scale: float
    output_name: str

    @property
    def max_body_bytes(self) -> int:
        """The largest body that can be a request: a whole batch, within reason."""
        sample = prod(self.sample_shape) * VALUE_BYTES
        return ENVELOPE_BYTES + min(MAX_SAMPLES * sample, max(MAX_BODY_BYTES, sample))

    @property
    def max_lists(self) -> int:
        """Lists in the largest nested tensor, and some for the rest of the request."""
        lists = accumulate((MAX_SAMPLES, *self.sample_shape[:-1]), mul)
        return ENVELOPE_ITEMS + sum(int(each) for each in lists)


class InputTensor(BaseModel):
    """One named tensor of a request; `data` is flat in row-major order, or nested to `shape`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: Datatype
    data: list[Any]


class RequestedOutput(BaseModel):
    """An output that the client wants."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str


class InferRequest(BaseModel):
    """The body of POST /v2/models/{m}/infer; unknown keys are allowed by the protocol and ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = Field(None, max_length=16)


def read_request(body: bytes, interface: Interface) -> tuple[InferRequest, Array]:
    """The request in a JSON body and its batch: float32 of shape (samples, *sample_shape). Raises BadRequest."""
    request = _parse(body, interface)
    for place, output in enumerate(request.outputs or ()):
        if output.name != interface.output_name:
            where = f"outputs.{place}.name"
            raise BadRequest(
                f"{where}: found {_shown(output.name)}, the model's only output is {interface.output_name!r}"
            )
    return request, _batch(request.inputs[0], interface)


def _parse(body: bytes, interface: Interface) -> InferRequest:
    if not body:
        raise BadRequest("body: empty; a request is a JSON object with `inputs`")
    if len(body) > ENVELOPE_BYTES:
        # Hundreds of thousands of small lists or strings take seconds to build and a hundred times their text.
        for mark, what, allowed in (
            (b"[", "lists", interface.max_lists),
            (b"{", "objects", ENVELOPE_ITEMS),
            (b'"', "quotation marks", 2 * ENVELOPE_ITEMS),
        ):
            if (found := body.count(mark)) > allowed:
                raise BadRequest(f"body: found {found} {what}, a request has at most {allowed}")
    try:
        return InferRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise BadRequest(f"body: {first['msg']}") from None
        where = ".".join(str(part) for part in first["loc"]) or "body"
        instead = "" if first["type"] == "missing" else f"; found {_shown(first['input'])}"
        raise BadRequest(f"{where}: {first['msg']}{instead}") from None


def _batch(tensor: InputTensor, interface: Interface) -> Array:
    if tensor.name != interface.input_name:
        raise BadRequest(
            f"inputs.0.name: found {_shown(tensor.name)}, the model's input is {interface.input_name!r}"
        )
    samples, *rest = tensor.shape
    if rest != list(interface.sample_shape) or not 1 <= samples <= MAX_SAMPLES:
        allowed = f"[1..{MAX_SAMPLES}, {', '.join(map(str, interface.sample_shape))}]"
        raise BadRequest(f"inputs.0.shape: found {_shown(tensor.shape)}, allowed is {allowed}")
    flat = _flattened(tensor.data, tensor.shape)
    values = _float32(flat) if tensor.datatype == "FP32" else _uint8(flat) * np.float32(interface.scale)
    return np.ascontiguousarray(values.reshape(tensor.shape))


def _flattened(data: list[Any], shape: Sequence[int]) -> list[int | float]:
    """The numbers in row-major order, whether they came flat or nested to `shape`."""
    if list not in {*map(type, data[:1])}:
        _check_length("", data, prod(shape), shape)
        _check_kinds(data, (), {int, float}, "allowed are JSON numbers")
        return data
    level: list[Any] = data
    _check_length("", level, shape[0], shape)
    for depth in range(1, len(shape)):
        outer = shape[:depth]
        _check_kinds(level, outer, {list}, f"allowed are lists as in shape {list(shape)}, or bare numbers")
        if {*map(len, level)} != {shape[depth]}:
            index = next(index for index, each in enumerate(level) if len(each) != shape[depth])
            _check_length(_path(index, outer), level[index], shape[depth], shape)
        level = list(chain.from_iterable(level))
    _check_kinds(level, shape, {int, float}, "allowed are JSON numbers")
    return level


def _check_length(path: str, values: list[Any], allowed: int, shape: Sequence[int]) -> None:
    if len(values) != allowed:
        raise BadRequest(f"inputs.0.data{path}: found {len(values)} values, shape {list(shape)} needs {allowed}")


def _check_kinds(values: list[Any], shape: Sequence[int], allowed: set[type], hint: str) -> None:
    if {*map(type, values)} <= allowed:
        return
    index = next(index for index, value in enumerate(values) if type(value) not in allowed)
    raise BadRequest(f"inputs.0.data{_path(index, shape)}: found {_shown(values[index])}; {hint}")


def _path(index: int, shape: Sequence[int]) -> str:
    """Where a value stands in the nested data; a flat one, whose shape is (), has one index."""
    if not shape:
        return f"[{index}]"
    return "".join(f"[{place}]" for place in np.unravel_index(index, shape))


def _float32(flat: list[int | float]) -> Array:
    allowed = "FP32 values are finite and at most 3.4028235e38 either way"
    try:
        with np.errstate(over="ignore"):
            values = np.asarray(flat, dtype=np.float32)
    except OverflowError:  # an integer beyond float64
        raise _out_of_range(flat, -1e308, 1e308, allowed) from None
    if not np.isfinite(values).all():
        limit = float(np.finfo(np.float32).max)
        raise _out_of_range(flat, -limit, limit, allowed)
    return values


def _uint8(flat: list[int | float]) -> Array:
    allowed = "UINT8 values are whole numbers from 0 to 255"
    try:
        values = np.asarray(flat, dtype=np.float64)
    except OverflowError:
        raise _out_of_range(flat, 0, 255, allowed) from None
    if not (values.min() >= 0 and values.max() <= 255):
        raise _out_of_range(flat, 0, 255, allowed)
    if (fractions := values != np.floor(values)).any():
        index = int(fractions.argmax())
        raise BadRequest(f"inputs.0.data: value {index} is {_shown(flat[index])}; {allowed}")
    return values.astype(np.float32)


def _out_of_range(flat: list[int | float], least: float, most: float, allowed: str) -> BadRequest:
    index = next((index for index, value in enumerate(flat) if not least <= value <= most), 0)
    return BadRequest(f"inputs.0.data: value {index} is {_shown(flat[index])}; {allowed}")


def _shown(value: object) -> str:
    """What was found, cut to what fits a line, and of what kind it is where that is the point."""
    if isinstance(value, list):
        short = len(value) <= 8 and all(type(each) in {int, float} for each in value)
        return f"[{', '.join(map(_shown, value))}]" if short else f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and value.bit_length() > 64:
        return "an integer of more than 64 bits"  # Python refuses to write the longest of them
    text = json.dumps(value) if isinstance(value, float) else repr(value)  # NaN and Infinity as they came
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        text = f"{value[:SHOWN_CHARACTERS]!r}..."
    kind = KINDS.get(type(value))
    return text if kind is None else f"{text}, {kind}"


def reply(
    model: str, request_id: str | None, output: str, outputs: Array, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The body of a reply: one FP32 output tensor and the parameters."""
    body: dict[str, Any] = {
        "model_name": model,
        "parameters": dict(parameters),
        "outputs": [
            {
                "name": output,
                "datatype": "FP32",
                "shape": list(outputs.shape),
                "data": outputs.ravel().tolist(),
            }
        ],
    }
    if request_id is not None:
        body["id"] = request_id
    return body
