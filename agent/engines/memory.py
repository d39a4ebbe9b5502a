"""Giving memory back to the system: what is freed stays with the allocator until it is told otherwise."""

import ctypes
import sys
import threading
from functools import cache

_M_ARENA_MAX = -8
"""From glibc's malloc.h."""


def keep_one_heap() -> None:
    """Let all threads allocate from one heap; for a process to call before it starts any. glibc alone.

    glibc gives threads heaps of their own and never returns the end of those, so that a switch in a thread left
    10 to 20 MiB behind. Threads here work one at a time and would not wait for each other.
    """
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 1)


def return_freed() -> None:
    """Return free heap pages in a thread of its own, so that no request waits for it. Linux with glibc alone."""
    trim = _malloc_trim()
    if trim is not None:
        threading.Thread(target=trim, args=(0,), name="malloc-trim", daemon=True).start()


@cache
def _malloc_trim() -> "ctypes._NamedFuncPointer | None":
    if not sys.platform.startswith("linux"):
        return None
    # musl has no such function; its allocator returns pages by itself.
    found: ctypes._NamedFuncPointer | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
