"""Content codings of HTTP bodies: gzip and deflate, both ways."""

import zlib

from tidegate.worker.protocol.refusals import BadRequest

WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""`deflate` is the format of zlib (RFC 9110, section 8.4.1.2)."""
LEAST_BYTES = 1024
"""What is smaller is sent as it is: its head alone weighs as much."""
LEVEL = 1
"""The way to the client is a socket of this machine more often than not."""


class TooLong(Exception):  # noqa: N818 - names what the body is
    """The body is longer than allowed once it is decoded."""


def decoded(body: bytes | bytearray | memoryview, coding: str, most_bytes: int) -> bytes:
    """The body without its coding. Raises BadRequest, and TooLong before more than `most_bytes` are held."""
    decoder = zlib.decompressobj(WINDOW_BITS[coding])
    try:
        plain = decoder.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise BadRequest(f"body: not in the {coding} that Content-Encoding says: {error}") from None
    if len(plain) > most_bytes:
        raise TooLong
    if not decoder.eof or decoder.unused_data:
        found = "bytes after its end" if decoder.eof else "no end"
        raise BadRequest(f"body: found {coding} with {found}; a whole body, and nothing else, belongs there")
    return plain


def encoded(parts: tuple[bytes, ...], coding: str) -> bytes:
    """The parts as one body in that coding."""
    encoder = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW_BITS[coding])
    return b"".join((*map(encoder.compress, parts), encoder.flush()))


def accepted(header: str) -> str | None:
    """The coding that an Accept-Encoding header asks for first; None for a body as it is."""
    for each in header.lower().split(","):
        coding, _, weight = each.partition(";")
        if coding.strip() in WINDOW_BITS and weight.replace(" ", "").rstrip("0") not in {"q=", "q=0."}:
            return coding.strip()
    return None
