"""A bundle on the operator's disk, as a device may ask for it: its chunks by their hash."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tidegate.content.chunk import CHUNK_BYTES, Chunk, pack
from tidegate.content.index import Index, Place, index_of, split
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.extents import extents
from tidegate.models.bundle.manifest import MANIFEST
from tidegate.telemetry.payloads.bundle_envelope import BundlePush, FileDigest
from tidegate.telemetry.payloads.envelope import Target


@dataclass(frozen=True, slots=True)
class BundleContent:
    """Of files that don't change meanwhile; a chunk that did is not given out."""

    directory: Path
    index: Index
    places: dict[str, Place]
    index_pieces: dict[str, bytes]

    def packed(self, sha256: str) -> bytes | None:
        """A chunk as it travels; None for one that the bundle does not have, or has no longer."""
        if (piece := self.index_pieces.get(sha256)) is not None:
            return pack(piece)
        place = self.places.get(sha256)
        if place is None:
            return None
        try:
            with (self.directory / place.file).open("rb") as file:
                file.seek(place.offset)
                content = file.read(place.chunk.size)
        except OSError:
            return None
        return pack(content) if place.chunk.names(content) else None


def content_of(directory: Path) -> BundleContent:
    """The content of a valid bundle. Raises OSError, BundleError."""
    index = index_of(directory, extents(directory, CHUNK_BYTES))
    places: dict[str, Place] = {}
    for place in index.places():
        places.setdefault(place.chunk.sha256, place)
    pieces = {Chunk.of(piece).sha256: piece for piece in split(index.to_bytes())}
    return BundleContent(directory, index, places, pieces)


def push_of(
    bundle: Bundle,
    content: BundleContent,
    version: int,
    target: Target,
    expires: datetime | None = None,
    source: str = "",
    when: str = "",
) -> BundlePush:
    """What is signed of a bundle and its content."""
    sizes = {name: sum(chunk.size for chunk in chunks) for name, chunks in content.index.files.items()}
    hashes = {**bundle.hashes, MANIFEST: bundle.sha256}
    files = {name: FileDigest(hashes[name], size) for name, size in sizes.items()}
    pieces = tuple(Chunk.of(piece) for piece in split(content.index.to_bytes()))
    return BundlePush(files, pieces, version, target, expires, source, when)
