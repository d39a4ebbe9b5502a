"""The endpoint as an ASGI application: no body and no header of a client's gives a 500."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from tidegate.messages import AdmissionState
from tidegate.worker.bodies import Bodies, BodyRefused
from tidegate.worker.endpoint import Endpoint

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


def ask(
    endpoint: Endpoint,
    *chunks: bytes,
    path: str = INFER,
    method: str = "POST",
    headers: Sequence[tuple[str, str]] = (),
) -> Reply:
    return asyncio.run(asked(endpoint, chunks, path, method, headers))


async def asked(
    endpoint: Endpoint, chunks: Sequence[bytes], path: str, method: str, headers: Sequence[tuple[str, str]]
) -> Reply:
    coming = list(chunks)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not coming:
            return {"type": "http.disconnect"}
        chunk = coming.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(coming)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "client": None,
        "server": None,
    }
    await endpoint.app(scope, receive, send)
    got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], got, json.loads(sent[1]["body"]) if sent[1]["body"] else None)


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
    st.dictionaries(st.sampled_from(["content-length", "content-encoding", "expect", "content-type"]), st.text())
)
def test_no_headers_give_a_500(endpoint: Endpoint, headers: dict[str, str]) -> None:
    good = body_of(GOOD)
    encodable = [(name, value.encode("latin-1", "ignore").decode("latin-1")) for name, value in headers.items()]
    assert ask(endpoint, good, headers=encodable).status in {200, 400, 413, 415}


def test_a_body_is_taken_in_pieces(endpoint: Endpoint) -> None:
    good = body_of(GOOD)
    assert ask(endpoint, good[:7], good[7:100], b"", good[100:]).status == 200


def test_codings_are_refused_by_name(endpoint: Endpoint) -> None:
    reply = ask(endpoint, b"\x1f\x8b", headers=[("Content-Encoding", "gzip")])
    assert (reply.status, reply.headers["accept-encoding"]) == (415, "identity")
    assert "'gzip'" in reply.document["error"]
    assert ask(endpoint, body_of(GOOD), headers=[("Content-Encoding", "identity")]).status == 200


@pytest.mark.parametrize("length", ["-1", "+5", "1e3", "abc", "5, 5", " ", "\u0663"])
def test_nonsense_for_a_length_is_refused(endpoint: Endpoint, length: str) -> None:
    reply = ask(endpoint, b"{}", headers=[("Content-Length", length)])
    assert reply.status == 400
    assert reply.document["error"].startswith("Content-Length: found ")


@pytest.mark.parametrize("length", ["200000000", "9" * 400])
def test_what_is_announced_too_large_is_refused_unread(endpoint: Endpoint, length: str) -> None:
    reply = ask(endpoint, headers=[("Content-Length", length)])
    assert reply.status == 413
    assert "the largest request to this model has 196608 bytes" in reply.document["error"]
    waits = ask(endpoint, headers=[("Content-Length", length), ("Expect", "100-continue")])
    assert waits.headers["connection"] == "close"


def test_what_turns_out_too_large_is_refused(endpoint: Endpoint) -> None:
    assert ask(endpoint, *[b"[" * 65536] * 9).status == 413


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
    asyncio.run(memory_is_needed())


async def memory_is_needed() -> None:
    now = [0.0]
    bodies = Bodies(max_bytes=100, budget_bytes=250, clock=lambda: now[0])

    def request(*chunks: bytes, ends: bool = True) -> Request:
        coming = list(chunks)

        async def receive() -> dict[str, Any]:
            if not coming:
                await asyncio.Event().wait()
            chunk = coming.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(coming) or not ends}

        return Request({"type": "http", "headers": []}, receive)

    async def take(asked: Request) -> int:
        with bodies.hold() as held:
            return len(await held.read(asked))

    slow = [asyncio.create_task(take(request(b"x" * 80, ends=False))) for _ in range(3)]
    await asyncio.sleep(0)
    assert bodies.held_bytes == 240
    with pytest.raises(BodyRefused) as refused:
        await take(request(b"x" * 50))
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
    now[0] = 3.0
    assert await take(request(b"x" * 50)) == 50
    with pytest.raises(BodyRefused) as given_up:
        await slow[0]
    assert given_up.value.status == 503
    assert not slow[1].done()
    assert bodies.held_bytes == 160
    for task in slow[1:]:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    assert (bodies.held_bytes, len(bodies.unfinished)) == (0, 0)
