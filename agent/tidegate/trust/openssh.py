"""Public keys as OpenSSH writes them: strings behind their length (RFC 4251), Ed25519 by RFC 8709. Pure."""

import base64
import hashlib
import struct

from tidegate.errors import EX_DATAERR, TidegateError

ED25519 = "ssh-ed25519"


class WireError(TidegateError):
    """Bytes that are shorter than they say."""

    exit_code = EX_DATAERR


def string(content: bytes) -> bytes:
    """A string behind its length."""
    return struct.pack(">I", len(content)) + content


def take_string(data: bytes) -> tuple[bytes, bytes]:
    """The first string, and what follows it. Raises WireError."""
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < max(4, end):
        raise WireError(f"found {len(data)} bytes, allowed are {end} or more")
    return data[4:end], data[end:]


def blob_of(raw: bytes) -> bytes:
    """An Ed25519 key of 32 bytes as OpenSSH names it to others."""
    return string(ED25519.encode()) + string(raw)


def kind_of(blob: bytes) -> str:
    """Of which algorithm a key is, such as `ssh-rsa`; empty for bytes that are no key."""
    try:
        return take_string(blob)[0].decode("ascii", errors="replace")
    except WireError:
        return ""


def raw_of(blob: bytes) -> bytes | None:
    """The 32 bytes of an Ed25519 key; None for any other."""
    raw = blob[-32:]
    return raw if len(raw) == 32 and blob == blob_of(raw) else None


def fingerprint(blob: bytes) -> str:
    """As `ssh-add -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
