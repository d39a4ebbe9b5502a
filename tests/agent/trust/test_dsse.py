"""DSSE envelopes: the specification's example, and that nothing but what was signed is ever accepted."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.trust.dsse import MOST_SIGNATURES, DsseError, Envelope, Signature, pae, parse_envelope
from tidegate.trust.keys import PrivateKey
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import NotSigned, Role, Signed, TrustedKey, TrustedKeys

LARGEST = 10_000
ALICE, BOB, CAROL = (PrivateKey(bytes(32 * [number])) for number in (1, 2, 3))
POLICY = frozenset({Role.POLICY})
TRUSTED = TrustedKeys(
    (
        TrustedKey("alice", ALICE.public, POLICY),
        TrustedKey("bob", BOB.public, POLICY),
        TrustedKey("carol", CAROL.public, frozenset({Role.BUNDLE})),
    )
)
TWO = TrustedKeys(TRUSTED.keys, {Role.POLICY: 2})


def test_the_example_of_the_specification() -> None:
    """protocol.md, "Test Vectors": its key is ECDSA, so the bytes that are signed are what can be compared."""
    data = (
        b'{"payload": "aGVsbG8gd29ybGQ=",\n "payloadType": "http://example.com/HelloWorld",\n "signatures": [{'
        b'"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}'
    )
    envelope = parse_envelope(data, LARGEST)
    assert (envelope.payload, envelope.payload_type) == (b"hello world", "http://example.com/HelloWorld")
    assert envelope.signed_bytes == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert envelope.signatures[0].keyid == ""
    assert len(envelope.signatures[0].sig) == 64


def test_lengths_are_of_bytes() -> None:
    assert pae("é", b"\xc3\xa9 ") == b"DSSEv1 2 \xc3\xa9 3 \xc3\xa9 "


@given(st.text(), st.binary(), st.text(), st.binary())
def test_the_encoding_tells_all_pairs_apart(type_1: str, body_1: bytes, type_2: str, body_2: bytes) -> None:
    try:
        same = pae(type_1, body_1) == pae(type_2, body_2)
    except UnicodeEncodeError:
        return
    assert same == ((type_1, body_1) == (type_2, body_2))


@given(st.binary(max_size=300), st.lists(st.sampled_from([ALICE, BOB, CAROL]), unique=True))
def test_what_is_signed_is_read_and_verified(payload: bytes, keys: list[PrivateKey]) -> None:
    sealed = Envelope("t", payload).signed_by(keys)
    assert parse_envelope(sealed.to_json(), LARGEST) == sealed
    judged = TRUSTED.judge(sealed, Role.POLICY)
    signers = {"alice": ALICE in keys, "bob": BOB in keys}
    if any(signers.values()):
        assert isinstance(judged, Signed)
        assert set(judged.by) == {name for name, signs in signers.items() if signs}
    else:
        assert isinstance(judged, NotSigned)


SEALED = Envelope("application/vnd.tidegate.policy+json", b'{"policy": "x>?x>?"}').signed_by([ALICE])


@given(st.integers(0, len(SEALED.to_json()) - 1), st.integers(1, 255))
@example(SEALED.to_json().index(b'"}]}') - 3, ord("A") ^ ord("B"))
def test_whatever_byte_is_changed_nothing_else_than_what_was_signed_is_accepted(at: int, change: int) -> None:
    data = bytearray(SEALED.to_json())
    data[at] ^= change
    try:
        found = parse_envelope(bytes(data), LARGEST)
    except DsseError:
        return
    if isinstance(TRUSTED.judge(found, Role.POLICY), Signed):
        # A hint that became illegible, or another alphabet of base64: what is signed is the same.
        assert (found.payload_type, found.payload) == (SEALED.payload_type, SEALED.payload)
        assert found.signatures[0].sig == SEALED.signatures[0].sig


@given(st.integers(0, 63), st.integers(1, 255))
def test_whatever_byte_of_a_signature_is_changed_it_is_refused(at: int, change: int) -> None:
    sig = bytearray(SEALED.signatures[0].sig)
    sig[at] ^= change
    changed = Envelope(SEALED.payload_type, SEALED.payload, (Signature(ALICE.public.keyid, bytes(sig)),))
    judged = TRUSTED.judge(changed, Role.POLICY)
    assert isinstance(judged, NotSigned)
    assert judged.refusal is Refusal.BAD_SIGNATURE


def signed(*keys: PrivateKey) -> Envelope:
    return Envelope("t", b"x").signed_by(keys)


@pytest.mark.parametrize("keyid", ["\x1b[2J", "\n2026-01-01 INFO all is well", "\u202e", "\r\x07", "\N{SNOWMAN}"])
def test_what_a_stranger_calls_a_key_moves_no_cursor_and_begins_no_line(keyid: str) -> None:
    judged = TRUSTED.judge(renamed(signed(STRANGER), keyid), Role.POLICY)
    assert isinstance(judged, NotSigned)
    assert judged.reason.isascii()
    assert judged.reason.isprintable()


def renamed(envelope: Envelope, keyid: str) -> Envelope:
    return Envelope("t", b"x", tuple(Signature(keyid, each.sig) for each in envelope.signatures))


STRANGER = PrivateKey(bytes(32 * [9]))
ALICE_TWICE = Envelope("t", b"x", signed(ALICE).signatures * 2)
CASES = {
    "no signature": (signed(), TRUSTED, Refusal.NOT_SIGNED, "not signed"),
    "a stranger": (signed(STRANGER), TRUSTED, Refusal.UNKNOWN_KEY, STRANGER.public.keyid[:16]),
    "nobody is trusted": (signed(ALICE), TrustedKeys(), Refusal.UNKNOWN_KEY, "trusted: none"),
    "another role": (signed(CAROL), TRUSTED, Refusal.WRONG_ROLE, "carol may sign bundle"),
    "a stranger in her name": (
        renamed(signed(STRANGER), ALICE.public.keyid), TRUSTED, Refusal.BAD_SIGNATURE, "that of alice",
    ),
    "one of two": (signed(ALICE), TWO, Refusal.TOO_FEW_SIGNERS, "1 of 2 signers"),
    "one of two, twice": (ALICE_TWICE, TWO, Refusal.TOO_FEW_SIGNERS, "needed for policy: alice"),
    "one of two, and one without the role": (signed(ALICE, CAROL), TWO, Refusal.TOO_FEW_SIGNERS, "1 of 2"),
    "two of two": (signed(ALICE, BOB), TWO, None, "alice, bob"),
    "one, and a stranger": (signed(STRANGER, BOB), TRUSTED, None, "bob"),
    "without keyid": (renamed(signed(BOB), ""), TRUSTED, None, "bob"),
    "a stranger without keyid": (renamed(signed(STRANGER), ""), TRUSTED, Refusal.UNKNOWN_KEY, "none"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_who_has_to_have_signed(case: str) -> None:
    envelope, trusted, refusal, words = CASES[case]
    judged = trusted.judge(envelope, Role.POLICY)
    if isinstance(judged, Signed):
        assert (refusal, ", ".join(judged.by)) == (None, words)
    else:
        assert (judged.refusal, words in judged.reason) == (refusal, True), judged


def test_a_signature_for_another_type_of_payload_does_not_count() -> None:
    sealed = signed(ALICE)
    other = Envelope("another", sealed.payload, sealed.signatures)
    assert isinstance(TRUSTED.judge(other, Role.POLICY), NotSigned)


def document(**changes: object) -> bytes:
    sig = base64.b64encode(SEALED.signatures[0].sig).decode()
    plain = {"payloadType": "t", "payload": "eHh4", "signatures": [{"keyid": "k", "sig": sig}]}
    return json.dumps(plain | changes).encode()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b" " * (LARGEST + 1), f"allowed are {LARGEST}"),
        (b'{"payload": "", "payload": "eHh4", "payloadType": "t", "signatures": []}', "'payload' is there twice"),
        (document(signatures=[{"sig": "", "x": {"a": 1}}]).replace(b'"a"', b'"a": 2, "a"'), "'a' is there twice"),
        (document(payload="eHh5\n"), "payload is not base64"),
        (document(payload="eH=="), "bits are set that encode nothing"),
        (document(signatures=[{"sig": ""}] * (MOST_SIGNATURES + 1)), f"at most {MOST_SIGNATURES}"),
        (document(signatures=None), "signatures: found None"),
        (b"[" * 9000, "allowed is a DSSE envelope"),
    ],
)
def test_what_is_no_envelope(data: bytes, told: str) -> None:
    with pytest.raises(DsseError) as caught:
        parse_envelope(data, LARGEST)
    assert told in str(caught.value)


def test_what_the_specification_has_readers_take() -> None:
    """Unknown fields, no keyid, and base64 of either alphabet."""
    standard = SEALED.to_json()
    assert b"+" in standard.split(b'"signatures"')[0] or b"/" in standard
    url_safe = standard.replace(b"+", b"-").replace(b"/", b"_").replace(b"application_vnd", b"application/vnd")
    url_safe = url_safe.replace(b"policy-json", b"policy+json")
    assert url_safe != standard
    assert parse_envelope(url_safe, LARGEST) == SEALED
    assert parse_envelope(document(more={"a": 1}), LARGEST) == parse_envelope(document(), LARGEST)


@given(st.binary())
def test_any_bytes_give_an_error_of_one_kind(data: bytes) -> None:
    with pytest.raises(DsseError):
        parse_envelope(data, LARGEST)
