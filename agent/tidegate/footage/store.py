"""The files of kept frames, within their quota. One thread at a time, and one process that writes."""

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tidegate.files import read_file, replace_file
from tidegate.footage import kept
from tidegate.footage.frame_file import Frame, encoded
from tidegate.footage.kept import Queue, frame_path, kept_frames
from tidegate.footage.sampling import Ceiling, Sampling

CEILINGS = "sampling.json"
APART_SHARE = 0.25
"""Of the quota at most for disagreements: they are for looking at, the sample is what counts."""
LOOK_S = 3600.0
"""How often what is there is looked at although there is room: others delete, and time passes."""
SPARE_BYTES = 64 << 20
"""What the disk has to have left: footage is the first thing that a device can do without."""


class NoRoom(OSError):  # noqa: N818 - reads as what it is at the call site
    """The disk has too little left for frames."""


class FootageStore:
    """Both queues in a directory, of `max_bytes` together, none older than `max_age_s`."""

    def __init__(
        self, directory: Path, max_bytes: int, max_age_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._sampling = read_sampling(directory)
        self._used_bytes = 0
        self._looked_at_s = -math.inf

    @property
    def ceiling(self) -> float:
        """A clip with a key from here on would not be kept."""
        return self._sampling.in_force

    def put(self, frame: Frame, at_s: float, key: float) -> None:
        """Keep a clip's frame, if its key is still below the ceiling. Raises NoRoom, OSError."""
        if key < self._sampling.in_force:
            self._used_bytes += self._write(Queue.SAMPLE, frame, at_s, key)
            self._fit_sample()

    def put_disagreement(self, frame: Frame, at_s: float, key: float) -> None:
        """Keep an input on which a point and full differed; the oldest make room. Raises NoRoom, OSError."""
        self._write(Queue.DISAGREEMENTS, frame, at_s, key)
        frames = list(kept_frames(self._directory, Queue.DISAGREEMENTS))
        while sum(each.size_bytes for each in frames) > APART_SHARE * self._max_bytes:
            kept.delete([frames.pop(0)])

    def clear(self) -> None:
        """Delete all of it, and begin anew. Raises OSError."""
        kept.clear(self._directory)
        self._sampling = Sampling()
        self._used_bytes = 0
        self._looked_at_s = -math.inf

    def _write(self, queue: Queue, frame: Frame, at_s: float, key: float) -> int:
        for directory in (self._directory, self._directory / queue):
            directory.mkdir(mode=kept.DIRECTORY_MODE, exist_ok=True)
        found = os.statvfs(self._directory)
        if found.f_bavail * found.f_frsize < SPARE_BYTES:
            raise NoRoom(0, f"has less than {SPARE_BYTES >> 20} MiB left", str(self._directory))
        content = encoded(frame)
        path = frame_path(self._directory, queue, at_s, key)
        replace_file(path, content, synced=False, mode=kept.FILE_MODE)
        return kept.taken_bytes(len(content))

    def _fit_sample(self) -> None:
        """Delete what is too old, and the largest keys until the rest fits; the ceiling is where they end."""
        now_s, room = self._clock(), self._max_bytes * (1 - APART_SHARE)
        if self._used_bytes <= room and 0 <= now_s - self._looked_at_s < LOOK_S:
            return
        self._looked_at_s = now_s
        kept.expire(self._directory, self._max_age_s, now_s)
        frames = sorted(kept_frames(self._directory, Queue.SAMPLE), key=lambda each: each.key)
        used = sum(each.size_bytes for each in frames)
        sampling = self._sampling.after(now_s, self._max_age_s, used / room)
        while frames and used > room:
            largest = frames.pop()
            kept.delete([largest])
            used -= largest.size_bytes
            sampling = sampling.lowered(now_s, largest.key)
        self._used_bytes = used
        if sampling != self._sampling or not (self._directory / CEILINGS).exists():
            self._sampling = sampling
            ceilings = [[each.since_s, each.value] for each in sampling.ceilings]
            replace_file(self._directory / CEILINGS, json.dumps(ceilings), synced=False, mode=kept.FILE_MODE)


def read_sampling(directory: Path) -> Sampling:
    """As it was left. Where that is lost, the largest key kept is the ceiling: more is not known of it."""
    with suppress(OSError, ValueError, TypeError):
        ceilings = json.loads(read_file(directory / CEILINGS))
        return Sampling(tuple(Ceiling(float(since_s), float(value)) for since_s, value in ceilings))
    keys = [each.key for each in kept_frames(directory, Queue.SAMPLE)]
    return Sampling((Ceiling(0.0, min(1.0, math.nextafter(max(keys), 2.0))),)) if keys else Sampling()
