"""A slot that is being filled: chunks are verified before they are written, and what is there is known by hash.

No record is kept of what has come. Whoever goes on after a stop, whenever that was, hashes what lies there.
"""

import errno
import os
import shutil
import stat
import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tidegate.content.chunk import Chunk
from tidegate.content.index import Index, Place

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Staging:
    """`take` is for any thread. Raises OSError where the disk does."""

    def __init__(self, directory: Path, index: Index) -> None:
        self._directory = directory
        self._places: defaultdict[str, list[Place]] = defaultdict(list)
        for place in index.places():
            self._places[place.chunk.sha256].append(place)
        self._sizes = {name: sum(chunk.size for chunk in chunks) for name, chunks in index.files.items()}
        self._missing: dict[str, Chunk] = {}
        self._lock = threading.Lock()

    @property
    def missing(self) -> tuple[Chunk, ...]:
        """What has not come yet, each once, in the order of the files."""
        with self._lock:
            return tuple(self._missing.values())

    @property
    def missing_places(self) -> tuple[Place, ...]:
        """Where what has not come belongs, in the order of the files."""
        with self._lock:
            return tuple(place for sha256 in self._missing for place in self._places[sha256])

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self._sizes.values())

    @property
    def here(self) -> int:
        """Bytes of what has come."""
        return self.size - sum(place.chunk.size for place in self.missing_places)

    def prepare(self) -> None:
        """Reserve the files' room, and find what of them is there already. May take seconds."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for entry in self._directory.iterdir():
            if entry.name not in self._sizes or not stat.S_ISREG(entry.lstat().st_mode):
                _remove(entry)
        for name, size in self._sizes.items():
            _reserve(self._directory / name, size)
        missing = {}
        for sha256, places in self._places.items():
            if not all(place.chunk.names(self._read(place)) for place in places):
                missing[sha256] = places[0].chunk
        with self._lock:
            self._missing = missing

    def take(self, content: bytes) -> bool:
        """Write a chunk where it belongs; False for bytes that are not wanted, of which nothing is written."""
        sha256 = Chunk.of(content).sha256
        with self._lock:
            if sha256 not in self._missing:
                return False
            for place in self._places[sha256]:
                _write(self._directory / place.file, content, place.offset)
            del self._missing[sha256]
            return True

    def take_from(self, directory: Path, places: Iterable[Place]) -> None:
        """Take what another bundle on this device has of it; what can't be read there comes another way."""
        for place in places:
            if place.chunk.sha256 in self._missing:
                with suppress(OSError):
                    content = _read(directory / place.file, place.chunk.size, place.offset)
                    if place.chunk.names(content):
                        self.take(content)

    def seal(self) -> None:
        """Have it all on the disk, names included."""
        for name in self._sizes:
            _sync(self._directory / name)
        _sync(self._directory)
        _sync(self._directory.parent)

    def _read(self, place: Place) -> bytes:
        return _read(self._directory / place.file, place.chunk.size, place.offset)


def room_needed(directory: Path, size: int) -> int:
    """Bytes that a slot of this size still takes from the disk, beyond what it has of it."""
    taken = 0
    with suppress(OSError):
        taken = sum(entry.lstat().st_blocks * 512 for entry in directory.iterdir())
    return max(0, size - taken)


def free_bytes(directory: Path) -> int:
    """Bytes that this user may still write there. Raises OSError."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    found = os.statvfs(existing)
    return found.f_bavail * found.f_frsize


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _reserve(path: Path, size: int) -> None:
    descriptor = os.open(path, _FLAGS, 0o644)
    try:
        os.ftruncate(descriptor, size)
        if size and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(descriptor, 0, size)
            except OSError as error:
                # A file system that can't reserve fails at the write, if it must.
                if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                    raise
    finally:
        os.close(descriptor)


def _read(path: Path, size: int, offset: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes, offset: int) -> None:
    descriptor = os.open(path, _FLAGS, 0o644)
    try:
        written = 0
        while written < len(content):
            written += os.pwrite(descriptor, content[written:], offset + written)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
