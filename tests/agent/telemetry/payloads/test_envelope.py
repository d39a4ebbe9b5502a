"""Policy envelopes: what is sealed opens again, and bad bytes give one kind of error."""

import base64
import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.payloads.envelope import (
    MAX_ENVELOPE_BYTES,
    MAX_VERSION,
    PAYLOAD_TYPE,
    EnvelopeError,
    PolicyPush,
    Target,
    open_envelope,
    policy_in,
    seal,
)
from tidegate.telemetry.topics import TopicError
from tidegate.trust.dsse import MAX_PUSH_ID_LENGTH

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
targets = st.sampled_from([Target("device", "cam-1"), Target("group", "barn"), Target("fleet")])


def opened(data: bytes) -> PolicyPush:
    return policy_in(open_envelope(data))


def payload_of(**changes: Any) -> dict[str, Any]:
    return {"policy": "tidegate: 1", "version": 1, "target": {"fleet": True}, "expires": None} | changes


def envelope_of(payload: Any) -> bytes:
    return raw_of(json.dumps(payload).encode())


def raw_of(payload: bytes) -> bytes:
    body = base64.b64encode(payload).decode()
    return json.dumps({"payloadType": PAYLOAD_TYPE, "payload": body, "signatures": []}).encode()


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.integers(1, MAX_VERSION),
    targets,
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_PUSH_ID_LENGTH),
)
def test_what_is_sealed_opens(
    policy: str, version: int, target: Target, expires: datetime | None, push_id: str
) -> None:
    push = opened(replace(seal(policy, version, target, expires), push_id=push_id).to_json())
    assert (push.policy, push.version, push.target, push.expires) == (policy, version, target, expires)
    assert push.push_id == push_id


@given(st.binary())
def test_any_bytes_give_an_envelope_error(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        opened(data)


@given(json_values)
def test_any_json_outside_gives_an_envelope_error(document: Any) -> None:
    with pytest.raises(EnvelopeError):
        opened(json.dumps(document).encode())


@given(st.sampled_from(["policy", "version", "target", "expires", "more"]), json_values)
def test_any_value_inside_opens_or_gives_an_envelope_error(key: str, value: Any) -> None:
    with suppress(EnvelopeError):
        assert opened(envelope_of(payload_of(**{key: value}))).version >= 1


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\xff\xfe", "allowed is a DSSE envelope"),
        (b'{"payloadType": "x", "payload": "", "payload": "", "signatures": []}', "is there twice"),
        (
            raw_of(b'{"policy": "a", "version": 1, "version": 2, "target": {"fleet": true}, "expires": null}'),
            "twice",
        ),
        (b"[" * 100_000, "allowed is a DSSE envelope"),
        (b" " * (MAX_ENVELOPE_BYTES + 1), f"allowed are {MAX_ENVELOPE_BYTES}"),
        (b'{"payloadType": "text/plain", "payload": "", "signatures": []}', "payloadType: found 'text/plain'"),
        (envelope_of(payload_of(version=0)), "version: found 0"),
        (envelope_of(payload_of(version=True)), "version: found True"),
        (envelope_of(payload_of(version="7")), "version: found '7'"),
        (envelope_of(payload_of(target={"device": "a/#"})), "device id: found 'a/#'"),
        (envelope_of(payload_of(target={"device": "a", "group": "b"})), "target"),
        (envelope_of(payload_of(expires="2026-01-01T00:00:00")), "expires"),
        (envelope_of(payload_of(policy="")), "policy: found ''"),
    ],
)
def test_the_error_says_what_was_found(data: bytes, told: str) -> None:
    with pytest.raises(EnvelopeError) as caught:
        opened(data)
    assert told in str(caught.value)


def test_base64_is_strict() -> None:
    with pytest.raises(EnvelopeError, match="policy envelope"):
        opened(envelope_of(payload_of()).replace(b'"payload": "', b'"payload": "!!'))


def test_what_no_device_would_open_is_not_sealed() -> None:
    with pytest.raises(EnvelopeError):
        seal("x" * MAX_ENVELOPE_BYTES, 1, Target("fleet"))
    with pytest.raises(EnvelopeError):
        seal("tidegate: 1", 0, Target("fleet"))


@pytest.mark.parametrize(
    ("kind", "name"), [("device", None), ("fleet", "x"), ("group", "a/b"), ("device", "fleet")]
)
def test_impossible_targets(kind: Any, name: str | None) -> None:
    with pytest.raises(TopicError):
        Target(kind, name)
