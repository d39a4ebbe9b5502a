"""A piece of a file, named by the hash of its bytes, and how it is packed for a message."""

import hashlib
import re
import zlib
from dataclasses import dataclass

from tidegate.errors import EX_DATAERR, TidegateError

CHUNK_BYTES = 64 << 10
"""No chunk is larger: packed it fits into what brokers and their clients take in one message (96 KiB)."""
MAX_PACKED_BYTES = CHUNK_BYTES + 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STORED, _DEFLATED = b"\0", b"\1"


class ContentError(TidegateError, ValueError):
    """Bytes that are not the content they are said to be."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Chunk:
    """`sha256` in hexadecimal, of `size` bytes (1 to CHUNK_BYTES). Raises ContentError for anything else."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256) or not 1 <= self.size <= CHUNK_BYTES:
            raise ContentError(
                f"chunk: found {self.sha256[:80]!r} of {self.size} bytes; allowed are a SHA-256 in lower-case "
                f"hexadecimal and 1 to {CHUNK_BYTES} bytes"
            )

    @classmethod
    def of(cls, content: bytes) -> "Chunk":
        """The name of these bytes."""
        return cls(hashlib.sha256(content).hexdigest(), len(content))

    def names(self, content: bytes) -> bool:
        """Whether these bytes are the ones it names."""
        return len(content) == self.size and hashlib.sha256(content).hexdigest() == self.sha256


def pack(content: bytes) -> bytes:
    """A chunk's bytes as they travel: deflated where that is shorter (RFC 1950)."""
    deflated = zlib.compress(content, 6)
    return _DEFLATED + deflated if len(deflated) < len(content) else _STORED + content


def unpack(packed: bytes) -> bytes:
    """The content of a packed chunk, never more than CHUNK_BYTES of it. Raises ContentError."""
    kind, body = packed[:1], packed[1:]
    if kind == _STORED:
        content = body
    elif kind == _DEFLATED:
        inflating = zlib.decompressobj()
        try:
            content = inflating.decompress(body, CHUNK_BYTES + 1)
        except zlib.error as error:
            raise ContentError(f"packed chunk: {error}") from None
        if not inflating.eof or inflating.unused_data:
            raise ContentError(
                f"packed chunk: does not end where it should, or holds more than {CHUNK_BYTES} bytes"
            )
    else:
        raise ContentError(f"packed chunk: found kind {kind!r}, allowed are {_STORED!r} and {_DEFLATED!r}")
    if not 1 <= len(content) <= CHUNK_BYTES:
        raise ContentError(f"packed chunk: found {len(content)} bytes, allowed are 1 to {CHUNK_BYTES}")
    return content
