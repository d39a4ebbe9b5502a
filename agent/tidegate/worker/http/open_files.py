"""How many connections this process may hold: what its limit on open files leaves."""

import resource
from contextlib import suppress
from pathlib import Path

WANTED_FILES = 4096
"""More than the worker ever needs, and below what any platform refuses a process (macOS: 10240)."""
MAX_CONNECTIONS = 512
MIN_CONNECTIONS = 4
KEPT_FREE = 64
"""For the bundle's files while a point is prepared, for what the engine opens, for sockets on their way out."""


def raise_file_limit() -> int:
    """Let this process open as many files as it may and wants to; the limit that is in force then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = WANTED_FILES if hard == unlimited else min(hard, WANTED_FILES)
    if soft == unlimited or soft >= wanted:
        return WANTED_FILES if soft == unlimited else soft
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def files_in_use() -> int:
    """Files that this process has open."""
    return len([*Path("/dev/fd").iterdir()])


def connection_limit(files: int, in_use: int) -> int:
    """Connections that fit into `files` beside what is `in_use`, with some kept free."""
    kept_free = min(KEPT_FREE, files // 4)
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, files - in_use - kept_free))
