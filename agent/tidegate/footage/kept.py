"""What is kept: files named by time and key. No numpy here: the supervisor asks as well."""

import errno
import math
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

DIRECTORY = "footage"
"""Within the state directory."""
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
AHEAD_S = 86_400.0
"""A frame from further ahead than that is from a clock that was wrong: nobody can say how old it is."""
BLOCK_BYTES = 4096
CLEAR_TRIES = 5
DRAFT_S = 600.0
"""Nothing takes so long to be written."""
_NAME = re.compile(r"([0-9]{1,12})-([0-9a-f]{16})\.npz")
_KEYS = 1 << 64


class Queue(StrEnum):
    """Kept apart from each other: an even sample of all clips, and inputs on which a point and full differed."""

    SAMPLE = "sample"
    DISAGREEMENTS = "disagreements"


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """A frame's file. `at_s` is Unix time; `key`, 0 to 1, was drawn evenly for its clip."""

    path: Path
    at_s: int
    key: float
    size_bytes: int

    @property
    def name(self) -> str:
        """Within the footage's directory: what a sheet of labels calls it."""
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True, slots=True)
class FootageCount:
    """How much is kept of both queues; `oldest_at` and `newest_at` are Unix times, None where nothing is."""

    sampled: int
    disagreements: int
    size_bytes: int
    oldest_at: int | None
    newest_at: int | None


def frame_path(directory: Path, queue: Queue, at_s: float, key: float) -> Path:
    """Where a frame is kept, in the footage's directory."""
    return directory / queue / f"{int(max(0.0, at_s)):010d}-{min(int(key * _KEYS), _KEYS - 1):016x}.npz"


def kept_frames(directory: Path, queue: Queue) -> tuple[KeptFrame, ...]:
    """What is there, oldest first; what can't be read, and any other file, is not in it."""
    found = []
    with suppress(OSError), os.scandir(directory / queue) as entries:
        for each in entries:
            if (name := _NAME.fullmatch(each.name)) is None:
                continue
            with suppress(OSError):
                if each.is_file(follow_symlinks=False):
                    size = taken_bytes(each.stat(follow_symlinks=False).st_size)
                    found.append(KeptFrame(Path(each.path), int(name[1]), int(name[2], 16) / _KEYS, size))
    return tuple(sorted(found, key=lambda frame: (frame.at_s, frame.key)))


def unreadable(directory: Path) -> str | None:
    """Why this user can't tell what is kept; None where they can, or where nothing is."""
    try:
        with os.scandir(directory):
            return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"{error.filename}: {error.strerror}"


def taken_bytes(content: int) -> int:
    """What a file of so many bytes takes on most disks."""
    return -(-content // BLOCK_BYTES) * BLOCK_BYTES


def count(directory: Path) -> FootageCount:
    """What both queues hold."""
    sampled = kept_frames(directory, Queue.SAMPLE)
    apart = kept_frames(directory, Queue.DISAGREEMENTS)
    times = [frame.at_s for frame in (*sampled, *apart)]
    size = sum(frame.size_bytes for frame in (*sampled, *apart))
    return FootageCount(len(sampled), len(apart), size, min(times, default=None), max(times, default=None))


def expire(directory: Path, max_age_s: float, now_s: float, ahead_s: float = math.inf) -> int:
    """Delete what is older, or further ahead than `ahead_s`; gives how many.

    What can't be deleted now is tried again with the next call.
    """
    for queue in Queue:
        _delete_drafts(directory / queue, now_s)
    frames = [frame for queue in Queue for frame in kept_frames(directory, queue)]
    return delete(frame for frame in frames if not now_s - max_age_s <= frame.at_s <= now_s + ahead_s)


def delete(frames: Iterable[KeptFrame]) -> int:
    """Delete these; gives how many are gone by it."""
    gone = 0
    for frame in frames:
        with suppress(OSError):
            frame.path.unlink()
            gone += 1
    return gone


def _delete_drafts(directory: Path, now_s: float) -> None:
    """What a power cut left half written: nobody else would ever delete it."""
    with suppress(OSError), os.scandir(directory) as entries:
        for each in entries:
            if each.name.endswith(".npz.new") and abs(now_s - each.stat(follow_symlinks=False).st_mtime) > DRAFT_S:
                Path(each.path).unlink()


def clear(directory: Path) -> bool:
    """Delete all of it, whatever is in there; False where nothing was. Raises OSError where something stays."""
    if not os.path.lexists(directory):
        return False
    if directory.is_symlink():
        directory.unlink()
        return True
    for _ in range(CLEAR_TRIES):
        try:
            shutil.rmtree(directory)
        except OSError as error:
            # Somebody else deletes it as well, or writes a frame meanwhile.
            if error.errno not in {errno.ENOENT, errno.ENOTEMPTY}:
                raise
        if not os.path.lexists(directory):
            return True
    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(directory))
