"""The envelope a policy travels in: DSSE (github.com/secure-systems-lab/dsse, envelope.md and protocol.md)."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tidegate.errors import EX_USAGE, TidegateError
from tidegate.telemetry import topics

PAYLOAD_TYPE = "application/vnd.tidegate.policy+json"
MAX_ENVELOPE_BYTES = 256 * 1024
# The largest whole number that every JSON reader keeps exact (RFC 8259, section 6).
MAX_VERSION = 2**53 - 1
MAX_PUSH_ID_LENGTH = 64


class EnvelopeError(TidegateError, ValueError):
    """Bytes that are no policy envelope; the message says what was found and what is allowed."""

    exit_code = EX_USAGE


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a policy is for: one device, one group, or the whole fleet (`name` is None then)."""

    kind: Literal["device", "group", "fleet"]
    name: str | None = None

    def __post_init__(self) -> None:
        if (self.name is None) != (self.kind == "fleet"):
            msg = f"target: found {self.kind} with name {self.name!r}; all but the fleet have a name"
            raise topics.TopicError(msg)
        self.topic  # noqa: B018 - a name that is no topic level is refused here, not at the first publish

    @property
    def topic(self) -> str:
        """Where the target's desired policy is retained."""
        if self.name is None:
            return topics.FLEET_POLICY
        return topics.DeviceTopics(self.name).policy if self.kind == "device" else topics.group_policy(self.name)


@dataclass(frozen=True, slots=True)
class PolicyPush:
    """A policy as it was pushed. `signed` is True only for a verified signature, so it is False for now.

    `push_id` tells this push from others of the same text; verdicts repeat it. Empty where the pusher gave none.
    """

    policy: str
    version: int
    target: Target
    expires: datetime | None
    signed: bool
    push_id: str = ""

    @property
    def hash(self) -> str:
        """SHA-256 of the policy text, hexadecimal: what `reported` names it by."""
        return policy_hash(self.policy)


def policy_hash(policy: str) -> str:
    """SHA-256 of a policy text in UTF-8, hexadecimal."""
    return hashlib.sha256(policy.encode()).hexdigest()


class _Strict(BaseModel):
    # Deferred: most models are parts of another, and their own validators are never asked for.
    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True)


class _Signature(_Strict):
    keyid: str = ""
    sig: str


class _Envelope(_Strict):
    payload_type: Literal["application/vnd.tidegate.policy+json"] = Field(alias="payloadType")
    payload: str
    signatures: list[_Signature]


class _ForDevice(_Strict):
    device: str


class _ForGroup(_Strict):
    group: str


class _ForFleet(_Strict):
    fleet: Literal[True]


class _Payload(_Strict):
    policy: Annotated[str, Field(min_length=1)]
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    target: _ForDevice | _ForGroup | _ForFleet
    expires: AwareDatetime | None
    push_id: Annotated[str, Field(max_length=MAX_PUSH_ID_LENGTH)] = ""


def seal_unsigned(
    policy: str, version: int, target: Target, expires: datetime | None = None, push_id: str = ""
) -> bytes:
    """An envelope without signatures. Raises EnvelopeError for what `open_envelope` would refuse."""
    payload = json.dumps(
        {
            "policy": policy,
            "version": version,
            "target": {target.kind: target.name if target.name is not None else True},
            "expires": expires.isoformat() if expires is not None else None,
            "push_id": push_id,
        }
    ).encode()
    sealed = json.dumps(
        {"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(payload).decode(), "signatures": []},
        separators=(",", ":"),
    ).encode()
    open_envelope(sealed)
    return sealed


def open_envelope(data: bytes, max_bytes: int = MAX_ENVELOPE_BYTES) -> PolicyPush:
    """The policy in an envelope. Raises EnvelopeError for any other bytes, and nothing else.

    Signatures are not verified yet, so an envelope that carries some counts as unsigned like one without.
    """
    if len(data) > max_bytes:
        msg = f"policy envelope: found {len(data)} bytes, allowed are {max_bytes}"
        raise EnvelopeError(msg)
    try:
        envelope = _Envelope.model_validate_json(data)
        payload = _Payload.model_validate_json(base64.b64decode(envelope.payload, validate=True))
        target = _target(payload.target)
    except ValidationError as error:
        raise EnvelopeError(_explained(error)) from error
    except (binascii.Error, ValueError) as error:
        msg = f"policy envelope: {error}"
        raise EnvelopeError(msg) from error
    return PolicyPush(
        payload.policy, payload.version, target, payload.expires, signed=False, push_id=payload.push_id
    )


def _target(target: _ForDevice | _ForGroup | _ForFleet) -> Target:
    match target:
        case _ForDevice(device=name):
            return Target("device", name)
        case _ForGroup(group=name):
            return Target("group", name)
        case _ForFleet():
            return Target("fleet")


def _explained(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "whole document"
    found = repr(first["input"])
    if len(found) > 80:
        found = found[:77] + "..."
    return (
        f"policy envelope, at {where}: found {found}: {first['msg']}; allowed is a DSSE envelope "
        f"{{payloadType: {PAYLOAD_TYPE!r}, "
        "payload: base64 of {policy, version, target, expires, push_id}, signatures: [...]}"
    )
