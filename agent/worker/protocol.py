"""The Open Inference Protocol (KServe v2), JSON form: requests checked at the border, replies built.

Specification: https://github.com/kserve/open-inference-protocol (inference REST API).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.engines.engine import Array

MAX_SAMPLES = 64
"""Samples in one request: a bigger batch would hold up everybody else in the lane."""

Datatype = Literal["FP32", "UINT8"]


class BadRequest(Exception):  # noqa: N818 - the protocol's own term
    """The request can't be answered; the message says where, what was found and what is allowed."""


class InputTensor(BaseModel):
    """One named tensor of a request; `data` is flat in row-major order, or nested to `shape`."""

    model_config = ConfigDict(extra="ignore")

    name: str
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: Datatype
    data: list[Any]


class InferRequest(BaseModel):
    """The body of POST /v2/models/{m}/infer; unknown keys are allowed by the protocol and ignored."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)


def parse_request(body: bytes) -> InferRequest:
    """The request in a JSON body. Raises BadRequest."""
    try:
        return InferRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise BadRequest(f"{where}: {first['msg']}") from None


def batch_of(request: InferRequest, name: str, sample_shape: Sequence[int], scale: float) -> Array:
    """The batch as float32 of shape (samples, *sample_shape); UINT8 values are multiplied by `scale`.

    Raises BadRequest when name, shape or data don't fit the model.
    """
    tensor = request.inputs[0]
    if tensor.name != name:
        raise BadRequest(f"inputs.0.name: found {tensor.name!r}, the model's input is {name!r}")
    samples, *rest = tensor.shape
    if rest != list(sample_shape) or not 1 <= samples <= MAX_SAMPLES:
        allowed = f"[1..{MAX_SAMPLES}, {', '.join(map(str, sample_shape))}]"
        raise BadRequest(f"inputs.0.shape: found {tensor.shape}, allowed is {allowed}")
    try:
        values = np.asarray(tensor.data, dtype=np.float32)
    except (ValueError, TypeError):
        raise BadRequest("inputs.0.data: not a regular list of numbers") from None
    if values.size != samples * int(np.prod(sample_shape)):
        raise BadRequest(f"inputs.0.data: found {values.size} values, shape {tensor.shape} needs another number")
    if not np.isfinite(values).all():
        raise BadRequest("inputs.0.data: holds NaN or infinite values")
    if tensor.datatype == "UINT8":
        if values.min() < 0 or values.max() > 255 or (values != np.floor(values)).any():
            raise BadRequest("inputs.0.data: UINT8 values are whole numbers from 0 to 255")
        values = values * np.float32(scale)
    return np.ascontiguousarray(values.reshape(tensor.shape))


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
