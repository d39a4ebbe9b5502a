"""The endpoint without a socket: no body and no header of a client's gives a 500."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.messages import AdmissionState
from tidegate.worker.endpoint import Endpoint
from tidegate.worker.http.bodies import Bodies, BodyRefused, HeldBody
from tidegate.worker.http.message import Head, Response

INFER = "/v2/models/digits/infer"
READY = ("/v2/health/ready", "/v2/models/digits/ready")
GOOD: dict[str, Any] = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "UINT8", "data": [8] * 64}

numbers = st.integers() | st.floats() | st.integers(300, 500).map(lambda power: 10**power)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=5) | st.just("1.5")
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    document: Any
    binary: bytes = b""


def ask(
    endpoint: Endpoint,
    body: bytes,
    *,
    path: str = INFER,
    method: str = "POST",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Reply:
    return asyncio.run(asked(endpoint, Head(method, path, headers), body))


async def asked(endpoint: Endpoint, head: Head, body: bytes) -> Reply:
    begun = endpoint.begin(head)
    if not isinstance(begun, Response):
        held = endpoint.bodies.begin(lambda refusal: None)
        held.whole()
        buffer = endpoint.body_buffer(head, len(body))
        buffer[:] = body
        answered = begun(head, buffer, held)
        begun = answered if isinstance(answered, Response) else await answered
        held.release()
    headers, sent = {name.lower(): value for name, value in begun.headers.items()}, b"".join(begun.body)
    if (coding := headers.get("content-encoding")) is not None:
        sent = {"gzip": gzip, "deflate": zlib}[coding].decompress(sent)
    json_bytes = int(headers.get("inference-header-content-length", len(sent)))
    return Reply(begun.status, headers, json.loads(sent[:json_bytes]), sent[json_bytes:])


def body_of(tensor: object) -> bytes:
    return json.dumps({"inputs": [tensor]}).encode()


def damaged(tensor: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """The tensor with one thing in it replaced."""
    place = data.draw(st.sampled_from(sorted(tensor)))
    if place == "data" and data.draw(st.booleans()):
        values = list(tensor["data"])
        values[data.draw(st.integers(0, 63))] = data.draw(trees)
        return {**tensor, "data": values}
    return {**tensor, place: data.draw(trees)}


@given(st.data())
def test_no_damage_to_a_request_gives_a_500(endpoint: Endpoint, data: st.DataObject) -> None:
    reply = ask(endpoint, body_of(damaged(GOOD, data)))
    assert reply.status in {200, 400}
    assert (reply.status == 200) == ("outputs" in reply.document)
    assert reply.status == 200 or isinstance(reply.document["error"], str)


@given(st.binary(max_size=200) | trees.map(lambda tree: json.dumps(tree).encode()))
def test_no_bytes_give_a_500(endpoint: Endpoint, body: bytes) -> None:
    assert ask(endpoint, body).status == 400


@given(
    st.dictionaries(
        st.sampled_from(["accept-encoding", "content-encoding", "expect", "inference-header-content-length"]),
        st.text() | st.sampled_from(["gzip", "deflate", "0", "7", "9" * 30, "-1", "\u0663"]),
    )
)
def test_no_headers_give_a_500(endpoint: Endpoint, headers: dict[str, str]) -> None:
    assert ask(endpoint, body_of(GOOD), headers=headers).status in {200, 400, 415}


def test_codings_that_nobody_here_knows_are_refused_by_name(endpoint: Endpoint) -> None:
    reply = ask(endpoint, b"\x1f\x8b", headers={"content-encoding": "br"})
    assert (reply.status, reply.headers["accept-encoding"]) == (415, "identity, gzip, deflate")
    assert "'br'" in reply.document["error"]
    assert ask(endpoint, body_of(GOOD), headers={"content-encoding": "identity"}).status == 200


@pytest.mark.parametrize(("coding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_codings_work_both_ways(endpoint: Endpoint, coding: str, encode: Callable[[bytes], bytes]) -> None:
    plain = ask(endpoint, body_of({**GOOD, "shape": [9, 1, 8, 8], "data": [8] * 576}))
    body = encode(body_of({**GOOD, "shape": [9, 1, 8, 8], "data": [8] * 576}))
    coded = ask(endpoint, body, headers={"content-encoding": coding, "accept-encoding": coding})
    assert coded.headers["content-encoding"] == coding
    assert coded.document == plain.document
    for broken in (body[:-3], body + b"!", b"{}", encode(b"[" * 10_000_000)):
        assert ask(endpoint, broken, headers={"content-encoding": coding}).status in {400, 413}


def test_a_small_reply_is_not_coded(endpoint: Endpoint) -> None:
    reply = ask(endpoint, body_of(GOOD), headers={"accept-encoding": "br;q=1, gzip;q=0, deflate;q=0.5"})
    assert (reply.status, "content-encoding" in reply.headers) == (200, False)


def test_a_large_batch_is_answered(endpoint: Endpoint) -> None:
    tensor = {"name": "image", "shape": [64, 1, 8, 8], "datatype": "FP32", "data": [0.1234567890123] * 4096}
    reply = ask(endpoint, body_of(tensor))
    assert (reply.status, reply.document["outputs"][0]["shape"]) == (200, [64, 10])


@pytest.mark.parametrize(
    "admission_state",
    [
        AdmissionState(fits=False, refuse=True, reason="no point is certified below 0.1 %"),
        AdmissionState(fits=True, refuse=False, reason="paused", rate_hz=0.0),
        AdmissionState(fits=True, refuse=False, reason="paused", concurrency=0),
    ],
)
def test_who_refuses_everything_is_not_ready(endpoint: Endpoint, admission_state: AdmissionState) -> None:
    before = endpoint.admission_state
    try:
        for path in READY:
            assert ask(endpoint, b"", path=path, method="GET").status == 200
        endpoint.admission_state = admission_state
        assert ask(endpoint, body_of(GOOD)).status in {429, 503}
        for path in READY:
            reply = ask(endpoint, b"", path=path, method="GET")
            assert (reply.status, reply.document) == (503, {"ready": False, "error": admission_state.reason})
        assert ask(endpoint, b"", path="/v2/health/live", method="GET").status == 200
    finally:
        endpoint.admission_state = before


def test_every_refusal_has_the_protocols_form(endpoint: Endpoint) -> None:
    for path, method, status in (("/nope" * 999, "GET", 404), (INFER, "GET", 405), ("/v2", "POST", 405)):
        reply = ask(endpoint, b"", path=path, method=method)
        assert reply.status == status
        assert len(reply.document["error"]) < 300


def test_bodies_on_their_way_give_their_memory_up_when_it_is_needed() -> None:
    now = [0.0]
    bodies = Bodies(max_bytes=100, budget_bytes=250, clock=lambda: now[0])
    given_up: list[tuple[int, int]] = []

    def arriving(place: int, size: int) -> HeldBody:
        held = bodies.begin(lambda refusal: given_up.append((place, refusal.status)))
        held.resize(size)
        return held

    slow = [arriving(place, 80) for place in range(3)]
    assert bodies.held_bytes == 240
    with pytest.raises(BodyRefused) as refused:
        arriving(3, 50)
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
    now[0] = 3.0
    slow[1].whole()
    assert arriving(4, 50) in bodies.unfinished
    assert (given_up, bodies.held_bytes) == ([(0, 503)], 210)
    for held in slow:
        held.release()
    assert bodies.held_bytes == 50
