"""Which chunks several files consist of, as one short text of its own: 36 bytes for each of them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.content.chunk import CHUNK_BYTES, Chunk, ContentError

_HASH_BYTES, _SIZE_BYTES = 32, 4
_RECORD_BYTES = _HASH_BYTES + _SIZE_BYTES


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk lies in a file, in bytes from its beginning."""

    file: str
    offset: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Index:
    """Each file's chunks, in the order of the file; files are in the order of their names."""

    files: Mapping[str, tuple[Chunk, ...]]

    def places(self) -> Iterator[Place]:
        """Every chunk where it belongs; one that is there twice comes twice."""
        for name in sorted(self.files):
            offset = 0
            for chunk in self.files[name]:
                yield Place(name, offset, chunk)
                offset += chunk.size

    def to_bytes(self) -> bytes:
        """Hash and size (big-endian) of each chunk; names and sizes of files are whoever's who knows them."""
        return b"".join(
            bytes.fromhex(place.chunk.sha256) + place.chunk.size.to_bytes(_SIZE_BYTES, "big")
            for place in self.places()
        )


def parse_index(data: bytes, sizes: Mapping[str, int]) -> Index:
    """The index of files of these sizes in bytes. Raises ContentError unless it accounts for each byte once."""
    if len(data) % _RECORD_BYTES:
        raise ContentError(f"index: found {len(data)} bytes, allowed is a multiple of {_RECORD_BYTES}")
    records = (data[at : at + _RECORD_BYTES] for at in range(0, len(data), _RECORD_BYTES))
    chunks = iter([Chunk(each[:_HASH_BYTES].hex(), int.from_bytes(each[_HASH_BYTES:], "big")) for each in records])
    files = {}
    for name in sorted(sizes):
        own, left = [], sizes[name]
        while left > 0:
            chunk = next(chunks, None)
            if chunk is None or chunk.size > left:
                raise ContentError(f"index: its chunks do not end with the {sizes[name]} bytes of {name}")
            own.append(chunk)
            left -= chunk.size
        files[name] = tuple(own)
    if next(chunks, None) is not None:
        raise ContentError("index: there are more chunks than the files have bytes")
    return Index(files)


def index_of(directory: Path, extents: Mapping[str, Sequence[range]]) -> Index:
    """The index of files cut at these byte positions, which cover each file whole. Raises OSError."""
    files = {}
    for name, ranges in extents.items():
        with (directory / name).open("rb") as file:
            files[name] = tuple(Chunk.of(file.read(len(each))) for each in ranges)
    return Index(files)


def split(content: bytes) -> tuple[bytes, ...]:
    """A text cut into pieces that are chunks."""
    return tuple(content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
