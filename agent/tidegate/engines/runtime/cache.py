"""What engines measured or made on this device and can make again: one directory, its keys, its bounds.

An entry is a file or a directory of files, named `KIND-KEY`. The key is a hash of all that the entry depends on:
the processor, the versions of the software, and the subject, which names the network. Entries are written whole;
losing one costs time and nothing else, so that nothing here raises. Several processes share the directory.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from tidegate.engines.runtime.device import fingerprint
from tidegate.files import cache_file, clear_way, place_directory, read_file

log = logging.getLogger(__name__)

KINDS = ("choice", "dropped", "ranges", "model")
_ENTRY = re.compile(rf"({'|'.join(KINDS)})-[0-9a-f]{{32}}(\..+)?")
"""An entry, also a draft of one or what stood in its way. Anything else in the directory is a stranger's."""

_DRAFT = re.compile(r".*\.([0-9]+)")
DRAFT_S = 60.0
"""How long a running process may leave a draft untouched before it passes for one that nobody finishes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept: least recently used goes first, and what was not used for so long goes at once."""

    size_bytes: int = 1 << 30
    age_s: float = 90 * 24 * 3600


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    size_bytes: int
    unused_s: float


class Lease:
    """Holds one entry: while it is open, in whichever process, the entry is not evicted."""

    def __init__(self, descriptor: int) -> None:
        self._close = weakref.finalize(self, os.close, descriptor)

    def close(self) -> None:
        """Let go of it, as its end does too; once more is no error."""
        self._close()


class Cache:
    """Entries by kind and subject. Without a directory, or in one that takes nothing, nothing is kept."""

    def __init__(self, directory: Path | None, limits: Limits = Limits()) -> None:
        """The directory is made when there is something to keep."""
        self._directory = directory
        self._limits = limits

    @property
    def directory(self) -> Path | None:
        """Where all entries lie; None when nothing is kept."""
        return self._directory

    def entry(self, kind: str, subject: str) -> Path | None:
        """Where an entry of one of KINDS lies or would lie; None when nothing is kept."""
        if self._directory is None:
            return None
        key = hashlib.sha256(json.dumps([self._device, subject]).encode()).hexdigest()[:32]
        return self._directory / f"{kind}-{key}"

    @cached_property
    def _device(self) -> str:
        return fingerprint()

    def read(self, kind: str, subject: str) -> bytes | None:
        """What is in an entry that is a file; None where there is none that can be read."""
        path = self.entry(kind, subject)
        if path is None:
            return None
        try:
            content = read_file(path)
        except OSError:
            return None
        _mark_used(path)
        return content

    def write(self, kind: str, subject: str, content: bytes) -> bool:
        """Make or replace an entry that is a file; gives whether it is kept."""
        path = self.entry(kind, subject)
        if path is None:
            return False
        try:
            clear_way(path)
            cache_file(path, content)
        except OSError as error:
            log.warning("%s can't be kept and is made again at every start: %s", path, error.strerror)
            return False
        self.evict()
        return True

    def make(self, path: Path, fill: Callable[[Path], object]) -> Lease | None:
        """Hold an entry that is a directory, made by `fill` in a draft where there is none; None: it isn't kept.

        Raises what `fill` raises, except OSError.
        """
        try:
            if os.path.lexists(path) and not path.is_dir():
                path.unlink()
            place_directory(path, fill)
        except OSError as error:
            # Also when another process was first: then it is there.
            log.debug("%s is not made: %s", path, error)
        lease = self.hold(path)
        self.evict()
        return lease

    def hold(self, path: Path) -> Lease | None:
        """Hold an entry that is a directory; None where there is none."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return None
        lease = Lease(descriptor)
        # Where the file system knows no locks nothing is evicted, so that it is held all the same.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                _mark_used(path)
                return lease
        except OSError:
            pass
        # Evicted between the two calls.
        lease.close()
        return None

    def discard(self, path: Path, reason: object) -> None:
        """Remove a damaged entry, so that it is made again."""
        log.warning("%s is damaged and made again: %s", path, reason)
        shutil.rmtree(path, ignore_errors=True)

    def evict(self) -> None:
        """Keep to the limits. What is held stays."""
        entries = sorted(self._entries(), key=lambda entry: entry.unused_s, reverse=True)
        total_bytes = sum(entry.size_bytes for entry in entries)
        for entry in entries:
            if total_bytes <= self._limits.size_bytes and entry.unused_s <= self._limits.age_s:
                return
            if entry.unused_s < DRAFT_S and _is_being_made(entry.path):
                continue
            if _remove(entry.path):
                log.debug("%s was not used for %.0f s and is evicted", entry.path, entry.unused_s)
                total_bytes -= entry.size_bytes

    def _entries(self) -> Iterator[_Entry]:
        now_s = time.time()
        try:
            paths = [] if self._directory is None else list(self._directory.iterdir())
        except OSError:
            return
        for path in paths:
            if _ENTRY.fullmatch(path.name) is None:
                continue
            # Another process may be evicting as well.
            with suppress(OSError):
                found = path.lstat()
                files = path.rglob("*") if path.is_dir() else [path]
                size_bytes = sum(file.lstat().st_size for file in files)
                # A board without a clock may have used it at a time that is yet to come.
                yield _Entry(path, size_bytes, max(0.0, now_s - found.st_mtime))


def _is_being_made(path: Path) -> bool:
    """Whether it is a draft of a process that is running."""
    draft = _DRAFT.fullmatch(path.name)
    if draft is None:
        return False
    try:
        os.kill(int(draft[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True


def _mark_used(path: Path) -> None:
    with suppress(OSError):
        os.utime(path)


def _remove(path: Path) -> bool:
    """Remove an entry that nobody holds; gives whether it is gone."""
    try:
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return True
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            # Another process has evicted it and made it again meanwhile.
            return False
        # Nobody shall find half of it. Under the name of an entry, so that what a power cut leaves is evicted too.
        doomed = path.with_name(f"{path.name.rpartition('-')[0]}-{uuid4().hex}")
        path.rename(doomed)
        shutil.rmtree(doomed)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
