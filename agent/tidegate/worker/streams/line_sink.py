"""Answers into a file or a named pipe, a line each."""

import os
from contextlib import suppress
from pathlib import Path


class LineSink:
    """Lines are appended to `path`, and to a new file there once it has been moved away.

    A pipe without a reader, or one that is full, loses lines: nobody is waited for.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._identity = (0, 0)

    def write(self, line: bytes) -> None:
        """Raises OSError."""
        if self._file is None or self._moved():
            self._open()
        if self._file is None:
            return
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None
        if written < len(line):
            raise OSError(0, "there was room for a part of a line only", str(self._path))

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def _open(self) -> None:
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o640)
        about = os.fstat(self._file)
        self._identity = (about.st_dev, about.st_ino)

    def _moved(self) -> bool:
        try:
            about = self._path.stat()
        except OSError:
            return True
        return (about.st_dev, about.st_ino) != self._identity
