"""The envelope in which a list of trusted keys travels: what replaces the one that a device has."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tidegate.telemetry import topics
from tidegate.telemetry.payloads.envelope import (
    MAX_VERSION,
    EnvelopeError,
    Target,
    TargetDocument,
    open_envelope,
    target_from,
    target_to,
)
from tidegate.trust.dsse import Envelope, explained, refuse_duplicate_keys
from tidegate.trust.keys import KeyFormatError, parse_public
from tidegate.trust.signer import Signer
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys

PAYLOAD_TYPE = "application/vnd.tidegate.keys+json"
_ALLOWED = "allowed is a payload of {keys: [{name, key, roles}], thresholds, version, target, expires}"


@dataclass(frozen=True, slots=True)
class KeysPush:
    """Trusted keys as they were pushed; `hash` is the SHA-256 of the payload, hexadecimal."""

    keys: TrustedKeys
    version: int
    target: Target
    expires: datetime | None
    hash: str
    push_id: str = ""


class _Strict(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True)


class KeyDocument(_Strict):
    """One key as it travels and is kept."""

    name: Annotated[str, Field(min_length=1, max_length=topics.NAME_LIMIT)]
    key: str
    roles: list[Literal["policy", "bundle", "key_rotation", "certificate"]]


class KeysDocument(_Strict):
    """A list of trusted keys as it travels and is kept."""

    keys: list[KeyDocument]
    thresholds: dict[Literal["policy", "bundle", "key_rotation", "certificate"], int] = {}


class _Payload(KeysDocument):
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    target: TargetDocument
    expires: AwareDatetime | None


def seal_keys(
    keys: TrustedKeys,
    version: int,
    target: Target,
    expires: datetime | None = None,
    signers: Sequence[Signer] = (),
) -> Envelope:
    """The envelope of a list of keys, signed. Raises EnvelopeError for what no device would open."""
    payload = json.dumps(
        {
            **keys_to(keys),
            "version": version,
            "target": target_to(target),
            "expires": None if expires is None else expires.isoformat(),
        }
    ).encode()
    sealed = Envelope(PAYLOAD_TYPE, payload).signed_by(signers)
    keys_in(open_envelope(sealed.to_json()))
    return sealed


def keys_in(envelope: Envelope) -> KeysPush:
    """The keys in an envelope, whoever signed it. Raises EnvelopeError for any other payload."""
    if envelope.payload_type != PAYLOAD_TYPE:
        found = repr(envelope.payload_type[:80])
        raise EnvelopeError(f"keys envelope, at payloadType: found {found}, allowed is {PAYLOAD_TYPE!r}")
    try:
        payload = _Payload.model_validate_json(envelope.payload)
        refuse_duplicate_keys(envelope.payload)
        target, keys = target_from(payload.target), keys_from(payload)
        for each in keys.keys:
            topics.checked_name(each.name, "key name")
    except ValidationError as error:
        raise EnvelopeError(explained(error, "keys envelope", _ALLOWED)) from error
    except (topics.TopicError, KeyFormatError) as error:
        raise EnvelopeError(f"keys envelope: {error}") from error
    except ValueError as error:
        raise EnvelopeError(f"keys envelope: {error}; {_ALLOWED}") from error
    digest = hashlib.sha256(envelope.payload).hexdigest()
    return KeysPush(keys, payload.version, target, payload.expires, digest, envelope.push_id)


def keys_to(keys: TrustedKeys) -> dict[str, object]:
    """The keys as a JSON object, always in the same order."""
    return {
        "keys": [
            {"name": each.name, "key": each.key.text, "roles": sorted(role.value for role in each.roles)}
            for each in keys.keys
        ],
        "thresholds": {role.value: keys.thresholds[role] for role in sorted(keys.thresholds)},
    }


def keys_from(document: KeysDocument) -> TrustedKeys:
    """The keys in a document, a usable list (`TrustedKeys.problem`) or not. Raises KeyFormatError."""
    return TrustedKeys(
        tuple(
            TrustedKey(each.name, parse_public(each.key), frozenset(map(Role, each.roles)))
            for each in document.keys
        ),
        {Role(role): needed for role, needed in document.thresholds.items()},
    )
