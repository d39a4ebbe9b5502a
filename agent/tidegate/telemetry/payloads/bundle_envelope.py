"""The envelope in which a bundle is pushed: a manifest of digests, signed; its content travels by chunks.

The payload is the in-toto statement of OpenSSF model signing v1.0 (github.com/sigstore/model-transparency,
docs/model_signing_format.md), whose verifiers ignore other fields of the predicate: `tidegate` is ours.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tidegate.content.chunk import Chunk, ContentError
from tidegate.telemetry import topics
from tidegate.telemetry.payloads.envelope import (
    MAX_CONDITION_LENGTH,
    MAX_VERSION,
    EnvelopeError,
    Target,
    TargetDocument,
    open_envelope,
    target_from,
    target_to,
)
from tidegate.trust.dsse import Envelope, explained, refuse_duplicate_keys
from tidegate.trust.signer import Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
MANIFEST = "bundle.json"
"""The file whose hash names the bundle: it holds those of all others."""
MAX_FILES = 16
MAX_INDEX_CHUNKS = 64
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}(\.[a-z0-9]{1,20}){0,2}")
_ALLOWED = "allowed is what `tidegate bundle push` makes of a bundle"


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What is signed of one file: SHA-256 in hexadecimal, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class BundlePush:
    """A bundle as it was pushed: `files` by name, and the chunks of the index of their chunks.

    `source` is the address of a directory that the files lie in, empty where chunks come over MQTT. `when` is a
    condition in the policy language under which it is taken, empty for any time.
    """

    files: Mapping[str, FileDigest]
    index: tuple[Chunk, ...]
    version: int
    target: Target
    expires: datetime | None
    source: str = ""
    when: str = ""
    push_id: str = ""

    @property
    def hash(self) -> str:
        """What `reported` names the bundle by."""
        return self.files[MANIFEST].sha256

    @property
    def topic(self) -> str:
        """Where it is retained."""
        return self.target.bundle_topic

    @property
    def sizes(self) -> dict[str, int]:
        """Each file's size in bytes."""
        return {name: file.size for name, file in self.files.items()}

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(self.sizes.values())


class _Strict(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True)


class _Tolerant(BaseModel):
    # The format's readers ignore what they don't know.
    model_config = ConfigDict(defer_build=True, extra="ignore", strict=True)


_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Digest(_Tolerant):
    sha256: _Sha256


class _Subject(_Tolerant):
    name: str
    digest: _Digest


class _Resource(_Tolerant):
    name: str
    algorithm: Literal["sha256"]
    digest: _Sha256


class _Serialization(_Tolerant):
    method: Literal["files"]
    hash_type: Literal["sha256"]


class _IndexChunk(_Strict):
    sha256: str
    size: int


class _Push(_Strict):
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    target: TargetDocument
    expires: AwareDatetime | None
    sizes: dict[str, Annotated[int, Field(ge=0, le=1 << 40)]]
    index: Annotated[list[_IndexChunk], Field(min_length=1, max_length=MAX_INDEX_CHUNKS)]
    source: Annotated[str, Field(max_length=2000)] = ""
    when: Annotated[str, Field(max_length=MAX_CONDITION_LENGTH)] = ""


class _Predicate(_Tolerant):
    serialization: _Serialization
    resources: Annotated[list[_Resource], Field(min_length=1, max_length=MAX_FILES)]
    tidegate: _Push


class _Statement(_Tolerant):
    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    predicate_type: Literal["https://model_signing/signature/v1.0"] = Field(alias="predicateType")
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate: _Predicate


def seal_bundle(push: BundlePush, name: str, keys: Sequence[Signer] = ()) -> Envelope:
    """The envelope of a bundle called `name`, signed. Raises EnvelopeError for what no device would open."""
    ordered = sorted(push.files.items())
    predicate = {
        "serialization": SERIALIZATION,
        "resources": [{"name": file, "algorithm": "sha256", "digest": digest.sha256} for file, digest in ordered],
        "tidegate": {
            "version": push.version,
            "target": target_to(push.target),
            "expires": None if push.expires is None else push.expires.isoformat(),
            "sizes": {file: digest.size for file, digest in ordered},
            "index": [{"sha256": chunk.sha256, "size": chunk.size} for chunk in push.index],
            "source": push.source,
            "when": push.when,
        },
    }
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root_digest([each.sha256 for _, each in ordered])}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    sealed = Envelope(PAYLOAD_TYPE, json.dumps(statement).encode()).signed_by(keys)
    bundle_in(open_envelope(sealed.to_json()))
    return sealed


def root_digest(digests: Sequence[str]) -> str:
    """The digest of the whole: SHA-256 over the files' digests, in the order of their names."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def bundle_in(envelope: Envelope) -> BundlePush:
    """The bundle in an envelope, whoever signed it. Raises EnvelopeError for any other payload."""
    if envelope.payload_type != PAYLOAD_TYPE:
        found = repr(envelope.payload_type[:80])
        raise EnvelopeError(f"bundle envelope, at payloadType: found {found}, allowed is {PAYLOAD_TYPE!r}")
    try:
        statement = _Statement.model_validate_json(envelope.payload)
        refuse_duplicate_keys(envelope.payload)
        push = statement.predicate.tidegate
        target = target_from(push.target)
        index = tuple(Chunk(each.sha256, each.size) for each in push.index)
    except ValidationError as error:
        raise EnvelopeError(explained(error, "bundle envelope", _ALLOWED)) from error
    except (topics.TopicError, ContentError) as error:
        raise EnvelopeError(f"bundle envelope: {error}") from error
    except ValueError as error:
        raise EnvelopeError(f"bundle envelope: {error}; {_ALLOWED}") from error
    resources = statement.predicate.resources
    names = [each.name for each in resources]
    if (odd := next((name for name in names if not _FILE_NAME.fullmatch(name)), None)) is not None:
        raise _refused("predicate.resources", f"the name {odd[:80]!r}", "a bundle's files lie in one directory")
    if names != sorted(set(names)) or names != sorted(push.sizes) or MANIFEST not in names:
        raise _refused("predicate.resources", f"{names}", f"each name once, in order, with a size, and {MANIFEST}")
    if statement.subject[0].digest.sha256 != root_digest([each.digest for each in resources]):
        raise _refused("subject", "a digest that is not that of the resources", "SHA-256 over their digests")
    if push.source and not is_address(push.source):
        raise _refused("predicate.tidegate.source", repr(push.source[:80]), "http://HOST/... or https://HOST/...")
    files = {each.name: FileDigest(each.digest, push.sizes[each.name]) for each in resources}
    return BundlePush(files, index, push.version, target, push.expires, push.source, push.when, envelope.push_id)


def is_address(text: str) -> bool:
    """Whether content can be fetched from there: HTTP or HTTPS, without a password that everybody could read."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.username is None
            and (parts.port is None or parts.port > 0)
            and not parts.query
            and not parts.fragment
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        return False


def _refused(where: str, found: str, allowed: str) -> EnvelopeError:
    return EnvelopeError(f"bundle envelope, at {where}: found {found}; allowed: {allowed}")
