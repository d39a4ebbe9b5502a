"""Where a bundle's files are cut into chunks: at tensors, so that a tensor that stays is a chunk that stays.

Cut at fixed places, one byte more in front of a file would make all chunks after it other ones.
"""

from collections.abc import Iterator
from pathlib import Path

from tidegate.models.bundle.manifest import FILES, LADDER, MANIFEST
from tidegate.models.bundle.safetensors_header import tensors_in

LEAST_BYTES = 8 << 10
"""Tensors are gathered up to here: a chunk costs 36 bytes of index and a message's overhead."""
TEXT_BYTES = 16 << 10
"""Of ladder and manifest, of which an edit changes a line or two."""


def extents(directory: Path, chunk_bytes: int) -> dict[str, tuple[range, ...]]:
    """Byte ranges of at most `chunk_bytes` that cover each file of a bundle. Raises BundleError, OSError."""
    found = {}
    for name in (MANIFEST, *FILES):
        path = directory / name
        if name in {MANIFEST, LADDER}:
            whole = range(path.stat().st_size)
            found[name] = tuple(_split(whole, min(TEXT_BYTES, chunk_bytes)))
        else:
            found[name] = tuple(piece for part in _parts(path, chunk_bytes) for piece in _split(part, chunk_bytes))
    return found


def _parts(path: Path, chunk_bytes: int) -> Iterator[range]:
    """The header, then each tensor; small ones together."""
    tensors = sorted(tensors_in(path).values(), key=lambda tensor: tensor.place.start)
    begin = min((tensor.place.start for tensor in tensors), default=path.stat().st_size)
    yield range(begin)
    for tensor in tensors:
        place = tensor.place
        if begin < place.start and place.stop - begin > chunk_bytes:
            # What was gathered would be cut within this tensor, and move its cuts whenever it grows.
            yield range(begin, place.start)
            begin = place.start
        if place.stop - begin >= LEAST_BYTES:
            yield range(begin, place.stop)
            begin = place.stop
    if begin < path.stat().st_size:
        yield range(begin, path.stat().st_size)


def _split(whole: range, chunk_bytes: int) -> Iterator[range]:
    for start in range(whole.start, whole.stop, chunk_bytes):
        yield range(start, min(start + chunk_bytes, whole.stop))
