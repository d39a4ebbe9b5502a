"""Requests at the border: any bytes give a request or a BadRequest, and good tensors arrive unchanged."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.engines.engine import Array
from tidegate.models.graph.row_numbers import RowNumbers
from tidegate.worker.protocol.datatypes import DATATYPES
from tidegate.worker.protocol.interface import MAX_BODY_BYTES, MAX_SAMPLES, Interface
from tidegate.worker.protocol.refusals import BadRequest
from tidegate.worker.protocol.reply import Reply, reply
from tidegate.worker.protocol.request import InferRequest, RegionPart, RequestReader, WantedOutput

SHAPE = (1, 2, 2)
INTERFACE = Interface("input", SHAPE, 0.5, "logits", ("a", "b"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
GOOD: Mapping[str, object] = {"name": "input", "shape": [1, *SHAPE], "datatype": "FP32", "data": [1, 2, 3, 4]}


NO_DATATYPE = (
    "inputs.0.datatype: found '{}', a string, allowed are BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32,"
    " INT64, FP16, FP32, FP64, BF16"
)


def no_region(part: RegionPart, *_: bytes) -> bytes:
    raise BadRequest(f"region {part.region}")


def read(body: bytes, interface: Interface = INTERFACE, json_bytes: int | None = None) -> InferRequest:
    return RequestReader(interface, no_region).read(body, json_bytes)


def body_of(**changes: object) -> bytes:
    return json.dumps({"id": "7", "inputs": [{**GOOD, **changes}], "parameters": {"other": 1}}).encode()


def batch_of(**changes: object) -> Array:
    return read(body_of(**changes)).batch


def refusal(body: bytes) -> str:
    with pytest.raises(BadRequest) as refused:
        read(body)
    message = str(refused.value)
    assert len(message) < 400
    return message


@given(st.integers(1, 5), st.data())
def test_fp32_arrives_as_sent(samples: int, data: st.DataObject) -> None:
    floats = st.floats(-1e6, 1e6, width=32)
    values = data.draw(st.lists(floats, min_size=samples * 4, max_size=samples * 4))
    batch = batch_of(shape=[samples, *SHAPE], data=values)
    assert batch.dtype == np.float32
    assert batch.shape == (samples, *SHAPE)
    assert batch.ravel().tolist() == values


def test_uint8_is_scaled() -> None:
    batch = batch_of(datatype="UINT8", data=[0, 1, 2.0, 255])
    assert batch.ravel().tolist() == [0, 0.5, 1, 127.5]


def test_nested_data_is_taken() -> None:
    batch = batch_of(shape=[2, *SHAPE], data=[[[[1, 2], [3, 4]]], [[[5, 6], [7, 8.5]]]])
    assert batch.ravel().tolist() == [1, 2, 3, 4, 5, 6, 7, 8.5]


def test_whole_numbers_of_any_size_are_taken_for_fp32() -> None:
    assert batch_of(data=[10**30, -(10**38), 0, 2**64]).ravel().tolist() == [
        float(np.float32(value)) for value in (1e30, -1e38, 0, 2.0**64)
    ]


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_give_anything_but_a_request_or_bad_request(body: bytes) -> None:
    refusal(body)


@given(json_values, json_values, json_values)
@example([1, *SHAPE], "FP32", [10**400, 1, 2, 3])
@example([1, *SHAPE], "UINT8", [10**400, 1, 2, 3])
@example([1, *SHAPE], "INT64", [2**63, 1, 2, 3])
@example([1, *SHAPE], "INT64", [9.3e18, 1.5, 2, 3])
@example([1, *SHAPE], "BOOL", [2, True, False, 0])
@example([10**400, *SHAPE], "UINT8", [1, 2, 3, 4])
@example([1, *SHAPE], "FP32", [[[["1.5", True], [None, {}]]]])
def test_no_tensor_gives_anything_but_a_batch_or_bad_request(
    shape: object, datatype: object, data: object
) -> None:
    body = json.dumps({"inputs": [{"name": "input", "shape": shape, "datatype": datatype, "data": data}]})
    try:
        batch = read(body.encode()).batch
    except BadRequest:
        return
    assert np.isfinite(batch).all()


@given(st.data())
def test_one_wrong_value_is_refused_and_shown_where_it_stands(data: st.DataObject) -> None:
    wrong = data.draw(
        st.sampled_from(["1.5", True, False, None, {}, "", float("nan"), float("inf"), 1e39, 10**400])
    )
    place = data.draw(st.integers(0, 3))
    values: list[object] = [1.5, 2, 3, 4]
    values[place] = wrong
    nested = data.draw(st.booleans())
    tensor = [[values[:2], values[2:]]]
    message = refusal(body_of(data=[tensor] if nested else values))
    assert message.startswith("inputs.0.data")
    if isinstance(wrong, str | bool | dict) or wrong is None:
        where = f"[0][0][{place // 2}][{place % 2}]" if nested else f"[{place}]"
        assert message.startswith(f"inputs.0.data{where}: found ")
        assert message.endswith("allowed are JSON numbers")
    else:
        assert f"value {place} is " in message
        assert "FP32 values are finite" in message


@pytest.mark.parametrize("value", [-1, 256, 300, 1.5, 255.00000001, -0.1, 1e300, 10**400, float("nan")])
def test_uint8_is_whole_and_from_0_to_255(value: float) -> None:
    message = refusal(body_of(datatype="UINT8", data=[1, 2, value, 4]))
    assert "value 2 is " in message
    assert message.endswith("UINT8 values are whole numbers from 0 to 255")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [MAX_SAMPLES + 1, *SHAPE]}, "inputs.0.shape: found [65, 1, 2, 2], allowed is [1..64, 1, 2, 2]"),
        ({"shape": [0, *SHAPE]}, "inputs.0.shape: found [0, 1, 2, 2], allowed is [1..64, 1, 2, 2]"),
        ({"shape": [-1, *SHAPE]}, "inputs.0.shape: found [-1, 1, 2, 2], allowed is [1..64, 1, 2, 2]"),
        ({"shape": [10**12]}, "inputs.0.shape: found [1000000000000], allowed is [1..64, 1, 2, 2]"),
        ({"shape": [True, *SHAPE]}, "inputs.0.shape.0: must be a valid integer; found True, a boolean"),
        ({"shape": [1.0, *SHAPE]}, "inputs.0.shape.0: must be a valid integer; found 1.0"),
        ({"shape": ["1", *SHAPE]}, "inputs.0.shape.0: must be a valid integer; found '1', a string"),
        ({"data": [1, 2, 3]}, "inputs.0.data: found 3 values, shape [1, 1, 2, 2] needs 4"),
        ({"data": []}, "inputs.0.data: found 0 values, shape [1, 1, 2, 2] needs 4"),
        ({"data": [[1, 2, 3, 4]]}, "inputs.0.data[0]: found 4 values, shape [1, 1, 2, 2] needs 1"),
        ({"data": [[[[1, 2], [3]]]]}, "inputs.0.data[0][0][1]: found 1 values, shape [1, 1, 2, 2] needs 2"),
        (
            {"data": [[[[1, 2], 3]]]},
            "inputs.0.data[0][0][1]: found 3; allowed are lists as in shape [1, 1, 2, 2], or bare numbers",
        ),
        ({"data": [[[[1, 2], [3, [4]]]]]}, "inputs.0.data[0][0][1][1]: found [4]; allowed are JSON numbers"),
        ({"name": "x" * 500}, f"inputs.0.name: found {'x' * 60!r}..., a string, the model's input is 'input'"),
        ({"datatype": "BYTES"}, f"{NO_DATATYPE.format('BYTES')}; the model takes numbers, no text"),
        ({"datatype": "fp32"}, NO_DATATYPE.format("fp32")),
        (
            {"datatype": "FP16"},
            "inputs.0.datatype: found 'FP16' with `data`; JSON numbers can't be it: send binary data",
        ),
        (
            {"data": None},
            "inputs.0: found none; a tensor has one of `data`, binary_data_size and shared_memory_region",
        ),
        ({"data": "1234"}, "inputs.0.data: must be a valid list; found '1234', a string"),
    ],
)
def test_a_refusal_says_where_what_and_what_is_allowed(changes: dict[str, object], message: str) -> None:
    assert refusal(body_of(**changes)).replace("valid array", "valid list") == message


def test_refusals_of_whole_requests() -> None:
    assert refusal(b"") == "body: empty; a request is a JSON object with `inputs`"
    assert "Invalid JSON" in refusal(b'{"inputs": \xff}')
    assert "Invalid JSON" in refusal(b"[" * 5000)
    assert "must be an object" in refusal(b"[1]")
    assert refusal(b"{}") == "inputs: is missing"
    assert "at most 1 item" in refusal(json.dumps({"inputs": [GOOD, GOOD]}).encode())
    assert refusal(json.dumps({"inputs": [{**GOOD, "name": 7}]}).encode()).endswith("; found 7")
    wanted = json.dumps({"inputs": [GOOD], "outputs": [{"name": "boxes"}]}).encode()
    assert refusal(wanted) == "outputs.0.name: found 'boxes', a string, allowed is 'logits'"


def test_an_output_may_be_named() -> None:
    named = {"name": "logits", "parameters": {"classification": 5, "binary_data": False}}
    request = read(json.dumps({"inputs": [GOOD], "outputs": [named]}).encode())
    assert request.outputs == (WantedOutput("logits", binary=False, classes=2),)
    assert read(json.dumps({"inputs": [GOOD], "outputs": []}).encode()).outputs == (WantedOutput("logits"),)


@pytest.mark.parametrize("junk", ["[],", '"",', "{},"])
def test_bodies_of_countless_small_things_are_refused_unread(junk: str) -> None:
    body = b'{"inputs": [{"data": [' + junk.encode() * 500_000 + b"1]}]}"
    assert "a request has at most" in refusal(body)


def test_the_largest_body_follows_from_the_model() -> None:
    assert INTERFACE.max_body_bytes < 100_000
    picture = Interface("input", (3, 224, 224), 1.0, "logits", ("a", "b"))
    assert picture.max_body_bytes >= MAX_BODY_BYTES
    large = Interface("input", (3, 512, 512), 1.0, "logits", ("a", "b"))
    widest = np.full((3, 512, 512), -1.2345678901234567e-30)
    text = json.dumps({"inputs": [{**GOOD, "shape": [1, 3, 512, 512], "data": widest.tolist()}]})
    assert MAX_BODY_BYTES < len(text) <= large.max_body_bytes


def test_a_full_nested_batch_is_taken() -> None:
    narrow = Interface("input", (256, 3, 2), 1.0, "logits", ("a", "b"))
    values = np.arange(MAX_SAMPLES * 256 * 6, dtype=np.float32).reshape(MAX_SAMPLES, 256, 3, 2) / 7
    body = json.dumps({"inputs": [{**GOOD, "shape": list(values.shape), "data": values.tolist()}]}).encode()
    assert (read(body, narrow).batch == values).all()


def replied(wanted: WantedOutput, outputs: Array, request_id: str | None = None) -> Reply:
    return reply("digits", request_id, INTERFACE, [wanted], outputs, {"operating_point": "full"}, no_region)


def test_reply_has_the_id_only_when_it_was_given() -> None:
    outputs = np.array([[1.5, 2.5]], np.float32)
    body = json.loads(replied(WantedOutput("logits"), outputs, "7").document)
    assert body["id"] == "7"
    assert body["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]}]
    assert "id" not in json.loads(replied(WantedOutput("logits"), outputs).document)


def test_classes_are_given_best_first_as_text_or_as_bytes() -> None:
    outputs = np.array([[1.5, 2.5], [0.25, 0.25]], np.float32)
    tensor = json.loads(replied(WantedOutput("logits", classes=2), outputs).document)["outputs"][0]
    texts = ["2.500000:1:b", "1.500000:0:a", "0.250000:0:a", "0.250000:1:b"]
    assert tensor == {"name": "logits", "datatype": "BYTES", "shape": [2, 2], "data": texts}
    binary = replied(WantedOutput("logits", classes=1, binary=True), outputs).binary
    assert binary == b"\x0c\0\0\x002.500000:1:b\x0c\0\0\x000.250000:0:a"


def test_an_answer_that_json_has_no_numbers_for_is_given_as_bytes_alone() -> None:
    outputs = np.array([[np.nan, 1]], np.float32)
    with pytest.raises(BadRequest, match="ask for binary data"):
        replied(WantedOutput("logits"), outputs)
    assert replied(WantedOutput("logits", binary=True), outputs).binary == outputs.tobytes()


@pytest.mark.parametrize("datatype", ["INT64", "INT32", "UINT8", "FP32"])
@pytest.mark.parametrize("binary", [False, True])
def test_numbers_of_no_row_are_the_clients_error(datatype: str, binary: bool) -> None:
    rows = RowNumbers(np.asarray([[[3, 3], [np.inf, 3]]], np.float32))
    reader = RequestReader(replace(INTERFACE, scale=1.0, row_numbers=rows), lambda _: memoryview(b""))

    def ask(values: list[int]) -> Array:
        tensor: dict[str, object] = {"name": "input", "shape": [1, *SHAPE], "datatype": datatype}
        content = np.asarray(values, DATATYPES[datatype].stored).tobytes() if binary else b""
        tensor |= {"parameters": {"binary_data_size": len(content)}} if binary else {"data": values}
        text = json.dumps({"inputs": [tensor]}).encode()
        return reader.read(text + content, len(text) if binary else None).batch

    assert ask([0, 2, 200, 1]).ravel().tolist() == [0, 2, 200, 1]
    for wrong in (3, 200) if datatype == "UINT8" else (3, 200, -1, 2**30):
        with pytest.raises(BadRequest, match=r"inputs\.0: value 3 is .* allowed are whole numbers, 0 to 2"):
            ask([0, 2, 200, wrong])
