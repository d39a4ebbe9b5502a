"""A folder: each JPEG or PNG that comes into it is a frame, once it has been written to its end."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

from tidegate.files import read_file
from tidegate.worker.pictures import sample_of
from tidegate.worker.protocol.refusals import BadRequest
from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.source import BadFrame, SourceGone

SUFFIXES = (".jpeg", ".jpg", ".png")
LOOK_S = 0.5
"""A file of which size and time are the same after that is whole."""
MAX_FILE_BYTES = 32 << 20

Seen = dict[str, tuple[int, int]]
"""By name: size in bytes and time of the last change in ns."""


class Folder:
    """Files that were there at the start are left alone; a name that is written anew is a new frame."""

    live = False

    def __init__(self, path: Path, sample_shape: tuple[int, ...]) -> None:
        self._path = path
        self._shape = sample_shape
        self._taken: Seen | None = None

    def frames(self, stop: Event, due: Callable[[], bool]) -> Iterator[Frame | BadFrame | None]:
        """The oldest first. Raises SourceGone while there is no such folder."""
        del due
        before = self._look()
        if self._taken is None:
            self._taken = before
        while not stop.wait(LOOK_S):
            now = self._look()
            for name in sorted(now, key=lambda each: (now[each][1], each)):
                if now[name] == before.get(name) != self._taken.get(name):
                    self._taken[name] = now[name]
                    yield self._frame(name)
                    if stop.is_set():
                        return
            before = now
            self._taken = {name: each for name, each in self._taken.items() if name in now}

    def _look(self) -> Seen:
        found = {}
        try:
            with os.scandir(self._path) as entries:
                for entry in entries:
                    if not entry.name.lower().endswith(SUFFIXES):
                        continue
                    # A link to nothing, or a file taken away meanwhile: the others are looked at all the same.
                    with suppress(OSError):
                        about = entry.stat()
                        found[entry.name] = (about.st_size, about.st_mtime_ns)
        except FileNotFoundError:
            raise SourceGone(f"{self._path}: there is no such folder") from None
        except OSError as error:
            raise SourceGone(f"{self._path}: {error.strerror or error}") from None
        return found

    def _frame(self, name: str) -> Frame | BadFrame:
        # Names are bytes to the kernel, and what is none in UTF-8 could not be said in JSON.
        origin = os.fsencode(name).decode(errors="replace")
        try:
            return Frame(sample_of(read_file(self._path / name, MAX_FILE_BYTES), self._shape, origin), origin)
        except OSError as error:
            return BadFrame(f"{origin}: {error.strerror or error}")
        except BadRequest as error:
            return BadFrame(str(error))
