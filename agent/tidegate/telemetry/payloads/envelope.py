"""The envelope a policy travels in: DSSE (github.com/secure-systems-lab/dsse, envelope.md and protocol.md)."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tidegate.errors import EX_USAGE, TidegateError
from tidegate.telemetry import topics
from tidegate.trust.dsse import DsseError, Envelope, explained, parse_envelope, refuse_duplicate_keys
from tidegate.trust.signer import Signer

PAYLOAD_TYPE = "application/vnd.tidegate.policy+json"
MAX_ENVELOPE_BYTES = 256 * 1024
# The largest whole number that every JSON reader keeps exact (RFC 8259, section 6).
MAX_VERSION = 2**53 - 1


MAX_CONDITION_LENGTH = 8000


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

    @property
    def keys_topic(self) -> str:
        """Where the keys that the target is to trust are retained."""
        return topics.keys_beside(self.topic)

    @property
    def bundle_topic(self) -> str:
        """Where the target's desired bundle is retained."""
        return topics.bundle_beside(self.topic)


@dataclass(frozen=True, slots=True)
class PolicyPush:
    """A policy as an envelope holds it; whether its signers are trusted, the envelope's reader has to judge.

    `push_id` tells this push from others of the same text; verdicts repeat it. Empty where the pusher gave none.
    `when` is a condition in the policy language under which it is tried, empty for any time.
    """

    policy: str
    version: int
    target: Target
    expires: datetime | None
    push_id: str = ""
    when: str = ""

    @property
    def hash(self) -> str:
        """SHA-256 of the policy text, hexadecimal: what `reported` names it by."""
        return policy_hash(self.policy)

    @property
    def topic(self) -> str:
        """Where it is retained."""
        return self.target.topic


def policy_hash(policy: str) -> str:
    """SHA-256 of a policy text in UTF-8, hexadecimal."""
    return hashlib.sha256(policy.encode()).hexdigest()


class _Strict(BaseModel):
    # Deferred: most models are parts of another, and their own validators are never asked for.
    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True)


class _ForDevice(_Strict):
    device: str


class _ForGroup(_Strict):
    group: str


class _ForFleet(_Strict):
    fleet: Literal[True]


TargetDocument = _ForDevice | _ForGroup | _ForFleet


class _Payload(_Strict):
    policy: Annotated[str, Field(min_length=1)]
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    target: TargetDocument
    expires: AwareDatetime | None
    when: Annotated[str, Field(max_length=MAX_CONDITION_LENGTH)] = ""


def seal(
    policy: str,
    version: int,
    target: Target,
    expires: datetime | None = None,
    keys: Sequence[Signer] = (),
    when: str = "",
) -> Envelope:
    """The envelope of a policy, signed with `keys`. Raises EnvelopeError for what no device would open."""
    payload = json.dumps(
        {
            "policy": policy,
            "version": version,
            "target": target_to(target),
            "expires": expires.isoformat() if expires is not None else None,
            **({"when": when} if when else {}),
        }
    ).encode()
    sealed = Envelope(PAYLOAD_TYPE, payload).signed_by(keys)
    policy_in(open_envelope(sealed.to_json()))
    return sealed


def open_envelope(data: bytes) -> Envelope:
    """The envelope in an MQTT payload. Raises EnvelopeError for any other bytes, and nothing else."""
    try:
        return parse_envelope(data, MAX_ENVELOPE_BYTES)
    except DsseError as error:
        raise EnvelopeError(f"policy {error}") from error


def policy_in(envelope: Envelope) -> PolicyPush:
    """The policy in an envelope, whoever signed it. Raises EnvelopeError for any other payload."""
    if envelope.payload_type != PAYLOAD_TYPE:
        found = repr(envelope.payload_type[:80])
        raise EnvelopeError(f"policy envelope, at payloadType: found {found}, allowed is {PAYLOAD_TYPE!r}")
    try:
        payload = _Payload.model_validate_json(envelope.payload)
        refuse_duplicate_keys(envelope.payload)
        target = target_from(payload.target)
    except ValidationError as error:
        raise EnvelopeError(explained(error, "policy envelope", _ALLOWED)) from error
    except topics.TopicError as error:
        raise EnvelopeError(f"policy envelope: {error}") from error
    except ValueError as error:
        raise EnvelopeError(f"policy envelope: {error}; {_ALLOWED}") from error
    return PolicyPush(payload.policy, payload.version, target, payload.expires, envelope.push_id, payload.when)


_ALLOWED = "allowed is a payload of {policy, version, target, expires}"


def target_to(target: Target) -> dict[str, object]:
    """The target as a JSON object."""
    return {target.kind: target.name if target.name is not None else True}


def target_from(target: TargetDocument) -> Target:
    """The target in a document. Raises TopicError."""
    match target:
        case _ForDevice(device=name):
            return Target("device", name)
        case _ForGroup(group=name):
            return Target("group", name)
        case _ForFleet():
            return Target("fleet")
