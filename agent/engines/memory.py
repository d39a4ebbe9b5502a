"""Giving memory back to the system: what is freed stays with the allocator until it is told otherwise."""

import ctypes
import sys
import threading
from functools import cache


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
