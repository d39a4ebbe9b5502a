"""Giving memory back to the system: what is freed, and code that ran once, stay resident until told otherwise."""

import ctypes
import mmap
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psutil

_LEAST_CODE_BYTES = 2**20
"""Smaller libraries aren't worth the call."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""From glibc's malloc.h."""

_KEPT_FREE_BYTES = 32 * 2**20


def keep_one_heap() -> None:
    """Let all threads allocate from one heap; for a process to call before it starts any. glibc alone.

    glibc gives threads heaps of their own and never returns the end of those, so that a switch in a thread left
    10 to 20 MiB behind. Threads here work one at a time and would not wait for each other.
    """
    _set(_M_ARENA_MAX, 1)


def keep_freed() -> None:
    """Keep up to 32 MiB that an answer freed for the next, until `return_freed`; for torch, and glibc alone.

    By itself glibc returns what large activations took after every answer: VGG-16 in fp32 then spends a tenth of
    its time on getting the same pages again. On ONNX Runtime the same network has no such faults.
    """
    _set(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)
    # Larger blocks come from the system one by one; glibc takes no larger value than this.
    _set(_M_MMAP_THRESHOLD, _KEPT_FREE_BYTES)


def _set(parameter: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(parameter, value)


def return_freed() -> None:
    """Return free heap pages and unused code in a thread of its own, so that no request waits. Linux alone."""
    give_back = _returning()
    if give_back is not None:
        threading.Thread(target=give_back, name="return-freed", daemon=True).start()


@cache
def _returning() -> Callable[[], None] | None:
    return giving_back()


def giving_back() -> Callable[[], None] | None:
    """What returns this process's free heap pages and unused code when it is called; None where nothing can."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    # musl has no such function; its allocator returns pages by itself.
    trim = getattr(libc, "malloc_trim", None)

    def give_back() -> None:
        if trim is not None:
            trim(0)
        for start, length in _code():
            # Clean pages of a file: what still runs is mapped again from the page cache, half a microsecond each.
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED)

    return give_back


def _code() -> list[tuple[int, int]]:
    """Address and length of large libraries' code. A runtime's start touches more of it than answering."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, access, *_, file = line.split(maxsplit=5)
        # Relocated data is mapped from files too, but it is written to and would be lost: only what is executable.
        if access == "r-xp" and file.startswith("/"):
            start, end = (int(each, 16) for each in span.split("-"))
            if end - start >= _LEAST_CODE_BYTES:
                found.append((start, end - start))
    return found


def give_back() -> None:
    """As `return_freed`, and done when it returns."""
    returning = _returning()
    if returning is not None:
        returning()


def held_bytes() -> int:
    """Resident bytes of this process."""
    return int(psutil.Process().memory_info().rss)
