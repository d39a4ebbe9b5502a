"""Requests at the border: any bytes give a request or a BadRequest, and good tensors arrive unchanged."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.worker.protocol import MAX_SAMPLES, BadRequest, batch_of, parse_request, reply

SHAPE = (1, 2, 2)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def request(samples: int, values: list[float], datatype: str = "FP32") -> bytes:
    tensor = {"name": "input", "shape": [samples, *SHAPE], "datatype": datatype, "data": values}
    return json.dumps({"id": "7", "inputs": [tensor], "parameters": {"other": 1}}).encode()


@given(st.integers(1, 5), st.data())
def test_fp32_arrives_as_sent(samples: int, data: st.DataObject) -> None:
    floats = st.floats(-1e6, 1e6, width=32)
    values = data.draw(st.lists(floats, min_size=samples * 4, max_size=samples * 4))
    batch = batch_of(parse_request(request(samples, values)), "input", SHAPE, 0.5)
    assert batch.dtype == np.float32
    assert batch.shape == (samples, *SHAPE)
    assert batch.ravel().tolist() == values


def test_uint8_is_scaled() -> None:
    batch = batch_of(parse_request(request(1, [0, 1, 2, 255], "UINT8")), "input", SHAPE, 0.5)
    assert batch.ravel().tolist() == [0, 0.5, 1, 127.5]


def test_nested_data_is_taken() -> None:
    body = {"inputs": [{"name": "input", "shape": [1, *SHAPE], "datatype": "FP32", "data": [[[[1, 2], [3, 4]]]]}]}
    batch = batch_of(parse_request(json.dumps(body).encode()), "input", SHAPE, 1.0)
    assert batch.ravel().tolist() == [1, 2, 3, 4]


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_give_anything_but_a_request_or_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_request(body)


@given(json_values, json_values, json_values)
def test_no_tensor_gives_anything_but_a_batch_or_bad_request(
    shape: object, datatype: object, data: object
) -> None:
    body = json.dumps({"inputs": [{"name": "input", "shape": shape, "datatype": datatype, "data": data}]})
    try:
        batch = batch_of(parse_request(body.encode()), "input", SHAPE, 1.0)
    except BadRequest:
        return
    assert np.isfinite(batch).all()


def test_too_many_samples_are_refused() -> None:
    with pytest.raises(BadRequest, match=r"allowed is \[1\.\.64, 1, 2, 2\]"):
        batch_of(parse_request(request(MAX_SAMPLES + 1, [0.0])), "input", SHAPE, 1.0)


def test_reply_has_the_id_only_when_it_was_given() -> None:
    outputs = np.array([[1.5, 2.5]], np.float32)
    body = reply("digits", "7", "logits", outputs, {"operating_point": "full"})
    assert body["id"] == "7"
    assert body["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]}]
    assert "id" not in reply("digits", None, "logits", outputs, {})
