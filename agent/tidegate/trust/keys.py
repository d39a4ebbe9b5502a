"""Ed25519 keys (RFC 8032), written as everybody writes them: PKCS #8 and SubjectPublicKeyInfo of RFC 8410.

libsodium computes; it is loaded at the first signature, because most agents start without seeing one.
"""

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass, field

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.trust.openssh import ED25519, raw_of

RAW_BYTES = 32
SIGNATURE_BYTES = 64
# RFC 8410, section 10: all that stands in the DER before the 32 bytes of an Ed25519 key.
_PUBLIC_PREFIX = bytes.fromhex("302a300506032b6570032100")
_PRIVATE_PREFIX = bytes.fromhex("302e020100300506032b657004220420")
_PUBLIC_LABEL, _PRIVATE_LABEL = "PUBLIC KEY", "PRIVATE KEY"
_PEM = re.compile(r"\s*-----BEGIN ([A-Z0-9 ]+)-----\s*([A-Za-z0-9+/=\s]*)-----END \1-----\s*")
PUBLIC_ALLOWED = "an Ed25519 public key as `tidegate key new`, `openssl pkey -pubout` or `ssh-keygen` writes it"


class KeyFormatError(TidegateError, ValueError):
    """A text that is no Ed25519 key; the message says what was found and what is allowed."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key: 32 bytes. Raises KeyFormatError for any other number of them."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != RAW_BYTES:
            raise KeyFormatError(f"public key: found {len(self.raw)} bytes, allowed are {RAW_BYTES}")

    @property
    def text(self) -> str:
        """The key in one line: what stands in a PEM file between its first line and its last."""
        return base64.b64encode(_PUBLIC_PREFIX + self.raw).decode()

    @property
    def pem(self) -> str:
        """As a PEM file."""
        return _armored(_PUBLIC_LABEL, self.text)

    @property
    def keyid(self) -> str:
        """What envelopes name it by: SHA-256 of its SubjectPublicKeyInfo, hexadecimal."""
        return hashlib.sha256(_PUBLIC_PREFIX + self.raw).hexdigest()

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's, of exactly this message."""
        from nacl.bindings import crypto_sign_open  # noqa: PLC0415 - 1.3 MB that an agent without signed pushes saves
        from nacl.exceptions import BadSignatureError  # noqa: PLC0415 - as above

        if len(signature) != SIGNATURE_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, self.raw)
        except BadSignatureError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An Ed25519 private key: the 32 bytes of RFC 8032 that all else follows from."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != RAW_BYTES:
            raise KeyFormatError(f"private key: found {len(self.seed)} bytes, allowed are {RAW_BYTES}")

    @classmethod
    def new(cls) -> "PrivateKey":
        """A key that nobody else has: 32 bytes of the system's randomness."""
        return cls(os.urandom(RAW_BYTES))

    @property
    def public(self) -> PublicKey:
        """The key that its signatures are verified with."""
        return PublicKey(self._pair()[0])

    @property
    def pem(self) -> str:
        """As a PEM file, without a passphrase."""
        return _armored(_PRIVATE_LABEL, base64.b64encode(_PRIVATE_PREFIX + self.seed).decode())

    def sign(self, message: bytes) -> bytes:
        """The signature of a message, 64 bytes; the same every time."""
        from nacl.bindings import crypto_sign  # noqa: PLC0415 - see PublicKey.verifies

        return crypto_sign(message, self._pair()[1])[:SIGNATURE_BYTES]

    def _pair(self) -> tuple[bytes, bytes]:
        from nacl.bindings import crypto_sign_seed_keypair  # noqa: PLC0415 - see PublicKey.verifies

        public, secret = crypto_sign_seed_keypair(self.seed)
        return public, secret


def parse_public(text: str) -> PublicKey:
    """The public key in one line, in a PEM file or in OpenSSH's form. Raises KeyFormatError."""
    if text.startswith(f"{ED25519} "):
        return _of_openssh(text)
    label, body = _unarmored(text)
    if label == _PRIVATE_LABEL:
        raise KeyFormatError(f"public key: found a private key; allowed is {PUBLIC_ALLOWED}")
    der = _decoded(body)
    if label not in ("", _PUBLIC_LABEL) or der is None or not der.startswith(_PUBLIC_PREFIX):
        raise KeyFormatError(f"public key: found {_shown(text)}; allowed is {PUBLIC_ALLOWED}")
    return PublicKey(der.removeprefix(_PUBLIC_PREFIX))


def _of_openssh(text: str) -> PublicKey:
    """Of `ssh-ed25519 BASE64 COMMENT`, as `~/.ssh/id_ed25519.pub` has it."""
    blob = _decoded(text.split()[1]) if len(text.split()) > 1 else None
    raw = None if blob is None else raw_of(blob)
    if raw is None:
        raise KeyFormatError(f"public key: found {_shown(text)}; allowed is {PUBLIC_ALLOWED}")
    return PublicKey(raw)


def parse_private(text: str) -> PrivateKey:
    """The private key in a PEM file. Raises KeyFormatError, whose message holds nothing of the text."""
    label, body = _unarmored(text)
    if label == "ENCRYPTED PRIVATE KEY":
        raise KeyFormatError("private key: it has a passphrase; take it off: openssl pkey -in FILE -out NEW")
    der = _decoded(body)
    if label != _PRIVATE_LABEL or der is None or not der.startswith(_PRIVATE_PREFIX):
        found = f"a {label.lower()} of another kind" if label else "no PEM"
        if label == _PUBLIC_LABEL:
            found = "a public key, which signs nothing"
        raise KeyFormatError(
            f"private key: found {found}; allowed is an Ed25519 key as `tidegate key new` or "
            "`openssl genpkey -algorithm ed25519` writes it"
        )
    return PrivateKey(der.removeprefix(_PRIVATE_PREFIX))


def _armored(label: str, body: str) -> str:
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


def _unarmored(text: str) -> tuple[str, str]:
    """The label of a PEM file and what is in it; no label for anything else."""
    found = _PEM.fullmatch(text)
    return ("", text.strip()) if found is None else (found[1], "".join(found[2].split()))


def _decoded(body: str) -> bytes | None:
    try:
        der = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Bits that encode nothing would let one key be written in several ways.
    return der if base64.b64encode(der).decode() == body else None


def _shown(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return repr(line if len(line) <= 40 else line[:37] + "...")
