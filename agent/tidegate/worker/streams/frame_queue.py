"""Frames between whoever reads them and whoever answers: few, and the newest where they come by themselves."""

from collections import deque
from threading import Condition

from tidegate.worker.streams.frame import Frame


class FrameQueue:
    """Up to `size` frames."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._frames: deque[Frame] = deque()
        self._changed = Condition()
        self._closed = False

    def put_newest(self, frame: Frame) -> bool:
        """Add one, in the place of the oldest where there is no room; whether that one was dropped."""
        with self._changed:
            full = len(self._frames) >= self._size
            if full:
                self._frames.popleft()
            self._frames.append(frame)
            self._changed.notify_all()
            return full

    def put(self, frame: Frame) -> None:
        """Add one as soon as there is room; nothing happens once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._frames) < self._size)
            if not self._closed:
                self._frames.append(frame)
                self._changed.notify_all()

    def get(self) -> Frame | None:
        """The oldest, as soon as there is one; None once it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._frames))
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._changed.notify_all()
            return frame

    def close(self) -> None:
        """Take no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
