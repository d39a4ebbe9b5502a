"""DSSE envelopes: bytes with signatures (github.com/secure-systems-lab/dsse, protocol.md and envelope.md)."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.trust.signer import Signer
from tidegate.validation_words import in_words

MOST_SIGNATURES = 16
"""Each may have to be verified with each key of that name; more signers than this have no use."""


MAX_PUSH_ID_LENGTH = 64


class DsseError(TidegateError, ValueError):
    """Bytes that are no DSSE envelope; the message says where, what was found and what is allowed."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; `keyid` is a hint, empty where the signer gave none, and proves nothing."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is signed, and by whom it says it is: nothing here is verified.

    `push_id` is a field of ours beside those of the specification, which signatures are not over: it tells one
    delivery of the envelope from another.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...] = ()
    push_id: str = ""

    @property
    def signed_bytes(self) -> bytes:
        """What signatures are over."""
        return pae(self.payload_type, self.payload)

    def signed_by(self, keys: Sequence[Signer]) -> "Envelope":
        """The same with a signature of each key; one that a key has there already is made anew."""
        signers = {key.public.keyid: key for key in keys}
        kept = tuple(signature for signature in self.signatures if signature.keyid not in signers)
        made = tuple(Signature(keyid, key.sign(self.signed_bytes)) for keyid, key in signers.items())
        return replace(self, signatures=kept + made)

    def to_json(self) -> bytes:
        """As it travels, in one line."""
        document: dict[str, object] = {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [
                {"keyid": signature.keyid, "sig": base64.b64encode(signature.sig).decode()}
                for signature in self.signatures
            ],
        }
        document |= {"push_id": self.push_id} if self.push_id else {}
        return json.dumps(document, separators=(",", ":")).encode()


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: both with their lengths, so that neither runs into the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


class _Part(BaseModel):
    # The specification has consumers ignore what they don't know; signatures are over none of it.
    model_config = ConfigDict(defer_build=True, extra="ignore", strict=True)


class _Signature(_Part):
    keyid: str = ""
    sig: str


class _Envelope(_Part):
    payload_type: str = Field(alias="payloadType")
    payload: str
    signatures: Annotated[list[_Signature], Field(max_length=MOST_SIGNATURES)]
    push_id: Annotated[str, Field(max_length=MAX_PUSH_ID_LENGTH)] = ""


def parse_envelope(data: bytes, max_bytes: int) -> Envelope:
    """The envelope in JSON. Raises DsseError for any other bytes, and nothing else."""
    if len(data) > max_bytes:
        raise DsseError(f"envelope: found {len(data)} bytes, allowed are {max_bytes}")
    try:
        found = _Envelope.model_validate_json(data)
        refuse_duplicate_keys(data)
        signatures = tuple(Signature(each.keyid, _decoded(each.sig, "sig")) for each in found.signatures)
        return Envelope(found.payload_type, _decoded(found.payload, "payload"), signatures, found.push_id)
    except ValidationError as error:
        raise DsseError(explained(error, "envelope", _ALLOWED)) from None
    except ValueError as error:
        raise DsseError(f"envelope: {error}; {_ALLOWED}") from None


_ALLOWED = 'allowed is a DSSE envelope {"payloadType": ..., "payload": base64, "signatures": [{"keyid", "sig"}]}'


def refuse_duplicate_keys(data: bytes) -> None:
    """Raises ValueError for JSON in which an object has a key twice: readers differ on which of the two counts."""

    def unique(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:40]!r} is there twice")
            seen.add(key)

    try:
        json.loads(data, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("nested too deep") from None


def explained(error: ValidationError, what: str, allowed: str) -> str:
    """Where a document is wrong, what was found there, and what is allowed."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "whole document"
    found = repr(first["input"])
    found = found if len(found) <= 80 else found[:77] + "..."
    return f"{what}, at {where}: found {found}: {in_words(first['msg'])}; {allowed}"


def _decoded(text: str, where: str) -> bytes:
    """Base64, standard or URL-safe: the specification has verifiers take either. Raises ValueError."""
    standard = text.replace("-", "+").replace("_", "/")
    try:
        content = base64.b64decode(standard, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{where} is not base64: {error}") from None
    if base64.b64encode(content).decode() != standard:
        raise ValueError(f"{where} is not base64: bits are set that encode nothing")
    return content
