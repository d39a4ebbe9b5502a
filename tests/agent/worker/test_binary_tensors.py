"""Binary tensor data: every datatype arrives as sent, and no sizes that don't fit together give a batch."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.engines.engine import Array
from tidegate.worker.protocol.datatypes import DATATYPES, Datatype
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.protocol.refusals import BadRequest
from tidegate.worker.protocol.request import InferRequest, RegionPart, RequestReader

SHAPE = (2, 3)
INTERFACE = Interface("input", SHAPE, 0.5, "logits", ("a", "b"))
TENSOR: dict[str, Any] = {"name": "input", "shape": [1, *SHAPE], "datatype": "FP32"}
ZEROS = bytes(24)


def read(body: bytes, json_bytes: int | None, region: bytes = b"") -> InferRequest:
    def read_region(part: RegionPart) -> bytes:
        return region[part.offset : part.offset + part.size]

    return RequestReader(INTERFACE, read_region).read(body, json_bytes)


def body_of(tensor: dict[str, Any], binary: bytes, **more: object) -> tuple[bytes, int]:
    text = json.dumps({"inputs": [tensor], **more}).encode()
    return text + binary, len(text)


def binary_of(values: np.ndarray, datatype: Datatype, **more: object) -> tuple[bytes, int]:
    data = values.tobytes()
    parameters = {"binary_data_size": len(data)}
    return body_of(
        {**TENSOR, "shape": list(values.shape), "datatype": datatype.name, "parameters": parameters}, data, **more
    )


def expected(values: np.ndarray, datatype: Datatype) -> Array:
    if datatype.name == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    scale = 0.5 if datatype.is_integer else 1.0
    return values.astype(np.float32) * np.float32(scale)


@given(st.sampled_from([*DATATYPES.values()]), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_every_datatype_arrives_as_sent(datatype: Datatype, samples: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.integers(0, 2, (samples, *SHAPE)).astype(datatype.stored)
    if datatype.is_integer:
        values = draw.integers(*datatype.bounds, values.shape, datatype.stored, endpoint=True)
    elif datatype.name == "BF16":
        values = (draw.normal(size=values.shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    elif datatype.name != "BOOL":
        values = draw.normal(size=values.shape).astype(datatype.stored)
    request = read(*binary_of(values, datatype))
    assert request.batch.dtype == np.float32
    assert request.batch.flags["C_CONTIGUOUS"]
    assert request.batch.flags["ALIGNED"]
    np.testing.assert_array_equal(request.batch, expected(values, datatype))
    in_region = {
        **TENSOR,
        "shape": list(values.shape),
        "datatype": datatype.name,
        "parameters": {
            "shared_memory_region": "r",
            "shared_memory_byte_size": values.nbytes,
            "shared_memory_offset": 3,
        },
    }
    shared = read(json.dumps({"inputs": [in_region]}).encode(), None, b"abc" + values.tobytes())
    np.testing.assert_array_equal(shared.batch, request.batch)


@given(st.sampled_from(["UINT8", "INT8", "UINT16", "INT32", "UINT32", "INT64", "UINT64"]), st.data())
def test_json_and_binary_give_the_same_batch(name: str, data: st.DataObject) -> None:
    datatype = DATATYPES[name]
    integers = st.integers(*(int(each) for each in datatype.bounds))
    flat = data.draw(st.lists(integers, min_size=6, max_size=6))
    text = json.dumps({"inputs": [{**TENSOR, "datatype": name, "data": flat}]}).encode()
    values = np.array(flat, datatype.stored).reshape(1, *SHAPE)
    np.testing.assert_array_equal(read(text, None).batch, read(*binary_of(values, datatype)).batch)


def test_fp32_is_used_where_it_lies() -> None:
    body, json_bytes = binary_of(np.ones((1, *SHAPE), np.float32), DATATYPES["FP32"])
    buffer = np.empty(len(body) + 64, np.uint8)
    start = -(buffer.ctypes.data + json_bytes) % 64
    buffer[start : start + len(body)] = np.frombuffer(body, np.uint8)
    request = read(buffer[start : start + len(body)].data, json_bytes)
    assert np.shares_memory(request.batch, buffer)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("FP32", np.float32("nan")),
        ("FP32", np.float32("-inf")),
        ("FP64", np.float64(1e39)),
        ("FP16", np.float16("inf")),
        ("BF16", np.uint16(0x7FC0)),
        ("BOOL", np.uint8(2)),
    ],
)
def test_a_value_that_the_datatype_or_float32_can_t_be_is_refused(name: str, bad: np.generic) -> None:
    values = np.zeros((1, *SHAPE), DATATYPES[name].stored)
    values[0, 1, 1] = bad
    with pytest.raises(BadRequest, match=r"inputs.0: value 4 is .*" + name):
        read(*binary_of(values, DATATYPES[name]))


def test_finite_values_whose_sum_is_not_are_taken() -> None:
    values = np.full((1, *SHAPE), np.finfo(np.float32).max, np.float32)
    np.testing.assert_array_equal(read(*binary_of(values, DATATYPES["FP32"])).batch, values)


@pytest.mark.parametrize(
    ("tensor", "binary", "says"),
    [
        ({"parameters": {"binary_data_size": 20}}, ZEROS[:20], "found 20 bytes, shape [1, 2, 3] of FP32 needs 24"),
        ({"parameters": {"binary_data_size": 24}}, ZEROS[:20], "found 24, the body has 20 bytes after its JSON"),
        ({"parameters": {"binary_data_size": 24}}, ZEROS + b"x", "found 24, the body has 25 bytes after its JSON"),
        ({"parameters": {"binary_data_size": -1}}, b"", "greater than or equal to 0; found -1"),
        ({"parameters": {"binary_data_size": 1 << 80}}, b"", "an integer of more than 64 bits, the body has 0"),
        ({"parameters": {"binary_data_size": "24"}}, ZEROS, "valid integer; found '24', a string"),
        (
            {"parameters": {"binary_data_size": 24}, "data": [0] * 6},
            ZEROS,
            "found data and parameters.binary_data",
        ),
        ({"data": [0] * 6}, ZEROS, "found 0, the body has 24 bytes after its JSON"),
        ({"parameters": {}}, ZEROS, "found none"),
        ({"parameters": {"shared_memory_region": "r"}}, b"", "shared_memory_byte_size: missing"),
        (
            {"parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 1 << 40}},
            b"",
            "the largest request to this model has",
        ),
        (
            {"parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 24, "binary_data_size": 24}},
            ZEROS,
            "found parameters.binary_data_size and parameters.shared_memory_region",
        ),
        ({"datatype": "BYTES", "parameters": {"binary_data_size": 24}}, ZEROS, "the model takes numbers, no text"),
    ],
)
def test_sizes_that_don_t_fit_together_are_refused(tensor: dict[str, Any], binary: bytes, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(*body_of({**TENSOR, **tensor}, binary))
    assert says in str(refused.value)
    assert len(str(refused.value)) < 400


@given(st.integers(-10, 400))
def test_a_wrong_length_of_the_json_is_refused(json_bytes: int) -> None:
    body, right = binary_of(np.zeros((1, *SHAPE), np.float32), DATATYPES["FP32"])
    if json_bytes != right:
        with pytest.raises(BadRequest):
            read(body, json_bytes)
