"""JSON lines out of a named pipe, which is made if need be: each line is a frame."""

import os
import select
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.line import MAX_LINE_BYTES, frame_of_line
from tidegate.worker.streams.source import BadFrame, SourceGone

LOOK_S = 1.0
PIECE_BYTES = 1 << 16


class LineSource:
    """Whoever writes waits while the pipe is full, so that nothing is lost."""

    live = False

    def __init__(self, path: Path, sample_shape: tuple[int, ...]) -> None:
        self._path = path
        self._shape = sample_shape
        self._longest = MAX_LINE_BYTES
        self._number = 0

    def frames(self, stop: Event, due: Callable[[], bool]) -> Iterator[Frame | BadFrame | None]:
        """Each line. Raises SourceGone where there can be no pipe."""
        del due
        pipe = self._opened()
        try:
            held, too_long = bytearray(), False
            while not stop.is_set():
                if not select.select([pipe], [], [], LOOK_S)[0]:
                    continue
                held += os.read(pipe, PIECE_BYTES)
                while (end := held.find(b"\n")) >= 0:
                    line = bytes(held[:end])
                    del held[: end + 1]
                    self._number += 1
                    yield (
                        BadFrame(f"line {self._number} is too long")
                        if too_long
                        else frame_of_line(line, self._shape, f"line {self._number}")
                    )
                    too_long = False
                if len(held) > self._longest:
                    held.clear()
                    too_long = True
        finally:
            os.close(pipe)

    def _opened(self) -> int:
        try:
            if not self._path.exists():
                os.mkfifo(self._path, 0o660)
            # For writing too: a writer that ends is not the end.
            pipe = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceGone(f"{self._path}: {error.strerror or error}") from None
        if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
            os.close(pipe)
            raise SourceGone(f"{self._path}: is no named pipe; `mkfifo` makes one")
        return pipe
