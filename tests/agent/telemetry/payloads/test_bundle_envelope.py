"""The signed manifest of a pushed bundle: the format of OpenSSF model signing, and every hostile one refused."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.content.chunk import Chunk
from tidegate.telemetry.payloads.bundle_envelope import (
    PAYLOAD_TYPE,
    BundlePush,
    FileDigest,
    bundle_in,
    is_address,
    root_digest,
    seal_bundle,
)
from tidegate.telemetry.payloads.envelope import EnvelopeError, Target
from tidegate.trust.dsse import Envelope
from tidegate.trust.keys import PrivateKey

ONE, TWO = "1" * 64, "2" * 64
PUSH = BundlePush(
    files={"bundle.json": FileDigest(ONE, 10), "weights.safetensors": FileDigest(TWO, 200)},
    index=(Chunk("3" * 64, 72),),
    version=7,
    target=Target("group", "barn"),
    expires=datetime(2027, 1, 31, tzinfo=UTC),
    source="https://models.example/digits/7",
    when="{power_source: external}",
)


def test_it_is_read_as_it_was_sealed() -> None:
    envelope = seal_bundle(PUSH, "digits", [PrivateKey(bytes(32))])
    assert bundle_in(envelope) == PUSH
    assert (PUSH.hash, PUSH.size, PUSH.topic) == (ONE, 210, "tidegate/group/barn/bundle")
    assert len(envelope.signatures) == 1


def test_verifiers_of_model_signing_find_what_they_look_for() -> None:
    """What `dsse_payload_to_manifest` of model-signing 1.x reads, field by field."""
    envelope = seal_bundle(PUSH, "digits")
    statement = json.loads(envelope.payload)
    assert envelope.payload_type == "application/vnd.in-toto+json"
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert statement["subject"] == [{"name": "digits", "digest": {"sha256": root_digest([ONE, TWO])}}]
    assert statement["predicate"]["serialization"] == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [],
    }
    assert statement["predicate"]["resources"] == [
        {"name": "bundle.json", "algorithm": "sha256", "digest": ONE},
        {"name": "weights.safetensors", "algorithm": "sha256", "digest": TWO},
    ]


def changed(change: Callable[[dict[str, Any]], object]) -> Envelope:
    statement = json.loads(seal_bundle(PUSH, "digits").payload)
    change(statement)
    return Envelope(PAYLOAD_TYPE, json.dumps(statement).encode())


def renamed(name: str) -> Callable[[dict[str, Any]], object]:
    def change(statement: dict[str, Any]) -> None:
        sizes = statement["predicate"]["tidegate"]["sizes"]
        sizes[name] = sizes.pop("weights.safetensors")
        statement["predicate"]["resources"][1]["name"] = name
        resources = sorted(statement["predicate"]["resources"], key=lambda each: str(each["name"]))
        statement["predicate"]["resources"] = resources
        digests = [each["digest"] for each in resources]
        statement["subject"][0]["digest"]["sha256"] = root_digest(digests)

    return change


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a way out": renamed("../weights.safetensors"),
    "an absolute path": renamed("/etc/passwd"),
    "a folder": renamed("a/b"),
    "a hidden file": renamed(".profile"),
    "a backslash": renamed("..\\x"),
    "a NUL": renamed("x\0y"),
    "a long name": renamed("x" * 300),
    "no name": renamed(""),
    "no manifest": lambda it: it["predicate"]["resources"].pop(0),
    "a file twice": lambda it: it["predicate"]["resources"].append(it["predicate"]["resources"][1]),
    "another root": lambda it: it["subject"][0]["digest"].update(sha256="4" * 64),
    "a size missing": lambda it: it["predicate"]["tidegate"]["sizes"].pop("bundle.json"),
    "a size below 0": lambda it: it["predicate"]["tidegate"]["sizes"].update({"bundle.json": -1}),
    "a huge size": lambda it: it["predicate"]["tidegate"]["sizes"].update({"bundle.json": 1 << 60}),
    "no index": lambda it: it["predicate"]["tidegate"].update(index=[]),
    "a large chunk": lambda it: it["predicate"]["tidegate"]["index"][0].update(size=1 << 20),
    "a short hash": lambda it: it["predicate"]["resources"][0].update(digest="12"),
    "another algorithm": lambda it: it["predicate"]["resources"][0].update(algorithm="md5"),
    "another predicate": lambda it: it.update(predicateType="https://slsa.dev/provenance/v1"),
    "another statement": lambda it: it.update(_type="https://in-toto.io/Statement/v0.1"),
    "shards": lambda it: it["predicate"]["serialization"].update(method="shards"),
    "two subjects": lambda it: it["subject"].append(it["subject"][0]),
    "a file's address": lambda it: it["predicate"]["tidegate"].update(source="file:///etc/shadow"),
    "something unknown": lambda it: it["predicate"]["tidegate"].update(run="rm"),
    "version 0": lambda it: it["predicate"]["tidegate"].update(version=0),
    "no zone": lambda it: it["predicate"]["tidegate"].update(expires="2027-01-31T00:00"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_manifest_is_refused(hostile: str) -> None:
    with pytest.raises(EnvelopeError, match="bundle envelope"):
        bundle_in(changed(HOSTILE[hostile]))


def test_a_key_twice_and_another_type_are_refused() -> None:
    payload = seal_bundle(PUSH, "digits").payload
    twice = payload.replace(b'"version": 7', b'"version": 7, "version": 8')
    assert twice != payload
    with pytest.raises(EnvelopeError, match="twice"):
        bundle_in(Envelope(PAYLOAD_TYPE, twice))
    with pytest.raises(EnvelopeError, match="payloadType"):
        bundle_in(Envelope("application/vnd.tidegate.policy+json", payload))


KEYS = st.sampled_from(["_type", "subject", "predicate", "predicateType", "x"])
PLAIN = st.none() | st.integers() | st.text(max_size=5)
DOCUMENTS = st.recursive(PLAIN, lambda inner: st.dictionaries(KEYS, inner) | st.lists(inner), max_leaves=6)


@given(DOCUMENTS)
def test_any_json_is_a_bundle_or_refused(document: object) -> None:
    with pytest.raises(EnvelopeError):
        bundle_in(Envelope(PAYLOAD_TYPE, json.dumps(document).encode()))


@pytest.mark.parametrize(
    "address",
    [
        "ftp://h/x",
        "http:///x",
        "https://user:secret@h/x",
        "http://h:99999/",
        "http://h/x?y",
        "http://h/#x",
        "h/x",
        "",
        "http://h/a b",
        "http://h/\n",
    ],
)
def test_no_address(address: str) -> None:
    assert not is_address(address)
    assert is_address("http://models.local:8080/digits")


def test_the_envelope_of_a_large_bundle_is_small() -> None:
    """4 GiB in chunks of 64 KiB: the index travels by chunks as well."""
    index = tuple(Chunk(f"{number:064x}", 1 << 16) for number in range(37))
    envelope = seal_bundle(replace(PUSH, index=index), "llm")
    assert len(base64.b64encode(envelope.payload)) < 16 << 10
