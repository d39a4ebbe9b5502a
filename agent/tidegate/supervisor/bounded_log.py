"""Keeps the file that standard error goes to at a bounded size, where nobody else does: under launchd.

launchd opens the file once, and newsyslog can't have it opened anew, so it is copied and cut: the lines of the
worker and what a crashing interpreter says as well as our own log.
"""

import errno
import fcntl
import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path

LIMIT_VARIABLE = "TIDEGATE_LOG_LIMIT"
"""Bytes; set by the property list that an installation writes."""
STANDARD_ERROR = 2
LEAST_BYTES = 1 << 16


class BoundedLog:
    """One file behind a descriptor; `OTHER.1` beside it holds what came before."""

    def __init__(self, limit_bytes: int, descriptor: int = STANDARD_ERROR) -> None:
        self._limit_bytes = max(LEAST_BYTES, limit_bytes)
        self._descriptor = descriptor
        # Children share the open file: without it they would go on writing where the file ended before.
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_APPEND)

    @classmethod
    def asked_for(cls, descriptor: int = STANDARD_ERROR) -> "BoundedLog | None":
        """As the environment wants it; None where it doesn't, or where there is no plain file to bound."""
        try:
            limit_bytes = int(os.environ.get(LIMIT_VARIABLE, ""))
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return cls(limit_bytes, descriptor)
        except (OSError, ValueError):
            return None

    def look(self) -> None:
        """Copy and cut the file when it has outgrown its limit; a disk that takes no copy costs what is cut."""
        with suppress(OSError):
            if os.fstat(self._descriptor).st_size <= self._limit_bytes:
                return
            with suppress(OSError):
                path = path_of(self._descriptor)
                shutil.copyfile(path, path.with_name(path.name + ".1"))
            os.ftruncate(self._descriptor, 0)


def path_of(descriptor: int) -> Path:
    """Where an open file lies. Raises OSError when it has been removed."""
    if sys.platform == "darwin":
        return Path(os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    path = Path(f"/proc/self/fd/{descriptor}").readlink()
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "it has been removed", str(path))
    return path
