"""A child's tie to its parent: it ends when its parent does, however that ends.

Nothing heavy is imported here: the tie is to hold from the child's first moments.
"""

import os
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends when the parent ends."""
LOOK_EVERY_S = 0.5


@dataclass(slots=True)
class _Tie:
    """Whose end is ours, and how long we may take for it."""

    parent: int
    by_kernel: bool
    grace_s: float = 0.0
    watched: bool = False


_ties: list[_Tie] = []


def end_with(parent: int, *, by_kernel: bool = True) -> None:
    """End when the process `parent`, which started this one, ends; at once if it has ended already.

    `by_kernel` has the kernel do it, also while this process is stopped: when the thread that started it ends.
    """
    tie = _Tie(parent, by_kernel)
    _ties[:] = [tie]
    # SIGTERM would wait while this process is stopped or deep in a library, with its parent's sockets open.
    if not (by_kernel and _ask_the_kernel(signal.SIGKILL)):
        _start_watch(tie)
    if os.getppid() != parent:
        os._exit(os.EX_UNAVAILABLE)


def finish_within(grace_s: float) -> None:
    """From now on notice the parent's end oneself, and have this long to finish what is in hand."""
    for tie in _ties:
        tie.grace_s = grace_s
        _start_watch(tie)
        if tie.by_kernel:
            # One that is stopped can't notice anything; to one that runs this signal is nothing.
            _ask_the_kernel(signal.SIGCONT)


def _ask_the_kernel(number: signal.Signals) -> bool:
    """Have the kernel send a signal when the parent ends; only Linux does."""
    if sys.platform != "linux":
        return False
    import ctypes  # noqa: PLC0415 - no other platform needs it

    return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number) == 0)


def _start_watch(tie: _Tie) -> None:
    if not tie.watched:
        tie.watched = True
        threading.Thread(target=_watch, args=(tie,), name="parent", daemon=True).start()


def _watch(tie: _Tie) -> None:
    _wait_for_end(tie.parent)
    while os.getppid() == tie.parent:
        time.sleep(LOOK_EVERY_S)
    time.sleep(tie.grace_s)
    os._exit(os.EX_UNAVAILABLE)


def _wait_for_end(pid: int) -> None:
    """Return when that process has ended, or at once where the system has no event for that."""
    if sys.platform == "linux":
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:  # gone, or a kernel before 5.3
            return
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        ended.poll()
        os.close(descriptor)
