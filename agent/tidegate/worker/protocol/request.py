"""An inference request: its JSON checked at the border, its tensor from JSON, from binary data or from a region.

Specifications: https://github.com/kserve/open-inference-protocol (inference REST API), and of Triton's extensions
"binary tensor data", "classification" and "shared memory" in https://github.com/triton-inference-server/server/docs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tidegate.engines.engine import Array
from tidegate.validation_words import in_words
from tidegate.worker.protocol.datatypes import Datatype, datatype_named, network_values
from tidegate.worker.protocol.elements import elements
from tidegate.worker.protocol.interface import ENVELOPE_BYTES, ENVELOPE_ITEMS, Interface
from tidegate.worker.protocol.json_data import stored_values
from tidegate.worker.protocol.refusals import BadRequest, shown

Bytes = bytes | bytearray | memoryview

KEPT_BYTES = 2048
"""Of JSON that is kept with what it says; what is longer has its data in it."""
KEPT_PLANS = 64


@dataclass(frozen=True, slots=True)
class RegionPart:
    """A place in a registered region of shared memory, in bytes."""

    region: str
    offset: int
    size: int


ReadPicture = Callable[[memoryview, tuple[int, ...], str], npt.NDArray[np.uint8]]
"""A JPEG's or PNG's bytes as a sample of this shape; the text is where it stands. Raises BadRequest."""
ReadRegion = Callable[[RegionPart], Bytes]
"""What lies at a place in shared memory. Raises BadRequest."""


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """How an output is to be given: as binary data, into a region, or as its `classes` best classes."""

    name: str
    binary: bool = False
    classes: int | None = None
    region: RegionPart | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request that fits the model. `batch` is float32 of shape (samples, *sample_shape)."""

    id: str | None
    batch: Array
    outputs: tuple[WantedOutput, ...]
    max_certified_risk: float | None


class _Parameters(BaseModel):
    """What both kinds of tensors have."""

    model_config = ConfigDict(extra="ignore", strict=True)

    shared_memory_region: str | None = None
    shared_memory_byte_size: int | None = Field(None, ge=0)
    shared_memory_offset: int = Field(0, ge=0)

    def region_part(self, where: str) -> RegionPart | None:
        """The place in shared memory, if one is named. Raises BadRequest for one without a size."""
        if self.shared_memory_region is None:
            return None
        if self.shared_memory_byte_size is None:
            raise BadRequest(f"{where}.parameters.shared_memory_byte_size: missing, a region needs it")
        return RegionPart(self.shared_memory_region, self.shared_memory_offset, self.shared_memory_byte_size)


class _InputParameters(_Parameters):
    binary_data_size: int | None = Field(None, ge=0)


class _OutputParameters(_Parameters):
    binary_data: bool | None = None
    classification: int = Field(0, ge=0)


class _InputTensor(BaseModel):
    """One named tensor of a request; `data` is flat in row-major order, or nested to `shape`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: str
    data: list[Any] | None = None
    parameters: _InputParameters | None = None


class _RequestedOutput(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    parameters: _OutputParameters | None = None


class _RequestParameters(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    binary_data_output: bool = False
    max_certified_risk: float | None = Field(None, ge=0, le=1)


# Defaults of their own would be copied for each request.
_NONE_OF_INPUT, _NONE_OF_OUTPUT, _NONE_OF_REQUEST = _InputParameters(), _OutputParameters(), _RequestParameters()


class _Document(BaseModel):
    """The JSON of POST /v2/models/{m}/infer; unknown keys are allowed by the protocol and ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str | None = None
    inputs: list[_InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[_RequestedOutput] | None = Field(None, max_length=16)
    parameters: _RequestParameters | None = None


class RequestReader:
    """Reads requests to one model. Safe to use from several threads.

    A camera sends the same JSON before each of its pictures: what was made of it is kept.
    """

    def __init__(
        self, interface: Interface, read_region: ReadRegion, read_picture: ReadPicture | None = None
    ) -> None:
        """`read_picture` is None where BYTES are refused."""
        self._interface = interface
        self._read_picture = read_picture
        self._read_region = read_region
        self._kept: dict[bytes, _Plan] = {}

    def read(self, body: Bytes, json_bytes: int | None) -> InferRequest:
        """The request in a body whose first `json_bytes` are JSON, or all of it with None. Raises BadRequest."""
        size = len(body) if json_bytes is None else json_bytes
        if json_bytes is not None and not 0 < json_bytes <= len(body):
            raise BadRequest(
                f"Inference-Header-Content-Length: found {json_bytes}, the body has {len(body)} bytes and begins"
                " with its JSON"
            )
        text = bytes(memoryview(body)[:size])
        plan = self._kept.get(text)
        if plan is None:
            plan = _plan(text, self._interface, pictures=self._read_picture is not None)
            if size <= KEPT_BYTES and plan.tensor.data is None:
                if len(self._kept) >= KEPT_PLANS:
                    self._kept.clear()
                self._kept[text] = plan
        batch = self._batch(plan, memoryview(body)[size:])
        rows = self._interface.row_numbers
        if rows is not None and (trouble := rows.trouble(batch)) is not None:
            raise BadRequest(f"inputs.0: {trouble}")
        return InferRequest(plan.id, batch, plan.outputs, plan.max_certified_risk)

    def _batch(self, plan: "_Plan", binary: memoryview) -> Array:
        if plan.size != len(binary):
            raise BadRequest(
                f"inputs.0.parameters.binary_data_size: found {shown(plan.size)}, the body has {len(binary)} bytes"
                " after its JSON"
            )
        if plan.datatype is None:
            return self._pictures(plan, binary)
        tensor, datatype = plan.tensor, plan.datatype
        if tensor.data is not None:
            values = stored_values(tensor.data, tensor.shape, datatype)
            if not datatype.is_integer:
                return np.ascontiguousarray(values, dtype=np.float32)
        elif plan.region is not None:
            values = np.frombuffer(self._read_region(plan.region), datatype.stored).reshape(tensor.shape)
        else:
            _check_size(len(binary), tensor.shape, datatype, "inputs.0.parameters.binary_data_size")
            values = np.frombuffer(binary, datatype.stored).reshape(tensor.shape)
        batch = network_values(values, datatype, self._interface.scale, "inputs.0")
        # Kernels read whole vectors; what came in a body of its own is aligned already.
        return batch if batch.flags.aligned else batch.copy()

    def _pictures(self, plan: "_Plan", binary: memoryview) -> Array:
        """Each decoded to the network's size; its raw pixels times the bundle's scale."""
        assert self._read_picture is not None  # noqa: S101 - or BYTES would have been refused
        content = binary if plan.region is None else memoryview(self._read_region(plan.region))
        found = elements(content, plan.tensor.shape[0], "inputs.0")
        shape = self._interface.sample_shape
        batch = np.empty((len(found), *shape), np.float32)
        for index, each in enumerate(found):
            pixels = self._read_picture(each, shape, f"inputs.0: picture {index}")
            np.multiply(pixels, np.float32(self._interface.scale), out=batch[index])
        return batch


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a request's JSON says, checked against the model; the tensor's values are read with it each time."""

    id: str | None
    outputs: tuple[WantedOutput, ...]
    max_certified_risk: float | None
    tensor: _InputTensor
    datatype: Datatype | None
    """None for pictures."""
    region: RegionPart | None
    size: int


def _plan(text: bytes, interface: Interface, *, pictures: bool) -> _Plan:
    document = _parse(text, interface)
    tensor = document.inputs[0]
    datatype, region, size = _checked(tensor, interface, pictures=pictures)
    return _Plan(
        id=document.id,
        outputs=_outputs(document, interface),
        max_certified_risk=(document.parameters or _NONE_OF_REQUEST).max_certified_risk,
        tensor=tensor,
        datatype=datatype,
        region=region,
        size=size,
    )


def _parse(plain: bytes, interface: Interface) -> _Document:
    if not plain:
        raise BadRequest("body: empty; a request is a JSON object with `inputs`")
    if len(plain) > ENVELOPE_BYTES:
        # Hundreds of thousands of small lists or strings take seconds to build and a hundred times their text.
        for mark, what, allowed in (
            (b"[", "lists", interface.max_lists),
            (b"{", "objects", ENVELOPE_ITEMS),
            (b'"', "quotation marks", 2 * ENVELOPE_ITEMS),
        ):
            if (found := plain.count(mark)) > allowed:
                raise BadRequest(f"body: found {found} {what}, a request has at most {allowed}")
    try:
        return _Document.model_validate_json(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise BadRequest(f"body: {first['msg']}") from None
        where = ".".join(str(part) for part in first["loc"]) or "body"
        instead = "" if first["type"] == "missing" else f"; found {shown(first['input'])}"
        raise BadRequest(f"{where}: {in_words(first['msg'])}{instead}") from None


def _outputs(document: _Document, interface: Interface) -> tuple[WantedOutput, ...]:
    """Those that are asked for, in that order; all of them where none is, as the protocol has it."""
    by_default = (document.parameters or _NONE_OF_REQUEST).binary_data_output
    if not document.outputs:
        return tuple(WantedOutput(each.name, binary=by_default) for each in interface.outputs)
    allowed = [each.name for each in interface.outputs]
    wanted: list[WantedOutput] = []
    for place, each in enumerate(document.outputs):
        where = f"outputs.{place}"
        if each.name not in allowed:
            raise BadRequest(
                f"{where}.name: found {shown(each.name)}, allowed is {' or '.join(map(repr, allowed))}"
            )
        if any(each.name == other.name for other in wanted):
            raise BadRequest(f"{where}.name: found {shown(each.name)} a second time; name each output once")
        asked = each.parameters or _NONE_OF_OUTPUT
        if asked.classification and not (interface.classifies and each.name == interface.output_name):
            raise BadRequest(
                f"{where}.parameters.classification: found {asked.classification}; {each.name} has no number for "
                "each label of a whole sample: leave it out"
            )
        wanted.append(
            WantedOutput(
                each.name,
                binary=by_default if asked.binary_data is None else asked.binary_data,
                classes=min(asked.classification, len(interface.labels)) or None,
                region=asked.region_part(where),
            )
        )
    return tuple(wanted)


def _checked(
    tensor: _InputTensor, interface: Interface, *, pictures: bool
) -> tuple[Datatype | None, RegionPart | None, int]:
    """The tensor's datatype, region and bytes of binary data, once all of it fits the model. Raises BadRequest."""
    if tensor.name != interface.input_name:
        raise BadRequest(
            f"inputs.0.name: found {shown(tensor.name)}, the model's input is {interface.input_name!r}"
        )
    are_pictures = pictures and tensor.datatype == "BYTES"
    samples, *rest = tensor.shape
    if are_pictures:
        if rest not in ([], [1]) or not 1 <= samples <= interface.max_samples:
            raise BadRequest(
                f"inputs.0.shape: found {shown(tensor.shape)}, BYTES are pictures, [1..{interface.max_samples}]"
            )
    elif rest != list(interface.sample_shape) or not 1 <= samples <= interface.max_samples:
        allowed = f"[1..{interface.max_samples}, {', '.join(map(str, interface.sample_shape))}]"
        raise BadRequest(f"inputs.0.shape: found {shown(tensor.shape)}, allowed is {allowed}")
    datatype = None if are_pictures else datatype_named(tensor.datatype, "inputs.0.datatype")
    parameters = tensor.parameters or _NONE_OF_INPUT
    region, size = parameters.region_part("inputs.0"), parameters.binary_data_size
    given = [
        name
        for name, is_there in (
            ("data", tensor.data is not None),
            ("parameters.binary_data_size", size is not None),
            ("parameters.shared_memory_region", region is not None),
        )
        if is_there
    ]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise BadRequest(
            f"inputs.0: found {found}; a tensor has one of `data`, binary_data_size and shared_memory_region"
        )
    if are_pictures and tensor.data is not None:
        raise BadRequest("inputs.0.data: pictures are no text; send them as binary data, or in a region")
    if region is not None:
        where = "inputs.0.parameters.shared_memory_byte_size"
        if region.size > interface.max_body_bytes:
            raise BadRequest(
                f"{where}: found {region.size}, the largest request to this model has"
                f" {interface.max_body_bytes} bytes"
            )
        if datatype is not None:
            _check_size(region.size, tensor.shape, datatype, where)
    return datatype, region, size or 0


def _check_size(found: int, shape: list[int], datatype: Datatype, where: str) -> None:
    if found != (needed := prod(shape) * datatype.stored.itemsize):
        raise BadRequest(f"{where}: found {found} bytes, shape {shape} of {datatype.name} needs {needed}")
