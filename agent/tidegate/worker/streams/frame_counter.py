"""Counts what becomes of the frames of one source, for whoever asks now and then."""

import time
from dataclasses import replace
from threading import Lock

from tidegate.messages import StreamCount


class FrameCounter:
    """May be used by any thread. `source` says in words where the frames come from."""

    def __init__(self, name: str, source: str) -> None:
        self._count = StreamCount(name, source)
        self._lock = Lock()

    @property
    def problem(self) -> str:
        """Why no frames come; empty while they do."""
        return self._count.problem

    def add(self, **more: int) -> None:
        """Count so many more of each kind."""
        with self._lock:
            self._count = replace(
                self._count, **{name: getattr(self._count, name) + number for name, number in more.items()}
            )

    def saw(self, **more: int) -> None:
        """One frame has come, and so many of each other kind."""
        with self._lock:
            self._count = replace(self._count, last_frame_at=time.time())
        self.add(seen=1, **more)

    def say(self, problem: str) -> None:
        """Why no frames come from now on; empty once they do."""
        with self._lock:
            self._count = replace(self._count, problem=problem)

    def take(self) -> StreamCount:
        """What was counted since the last call; a problem, and the time of the last frame, stay."""
        with self._lock:
            count = self._count
            self._count = StreamCount(
                count.name, count.source, problem=count.problem, last_frame_at=count.last_frame_at
            )
            return count
