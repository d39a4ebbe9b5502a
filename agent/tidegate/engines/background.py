"""Work that steps back behind whatever answers."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")

_NICENESS = 10
"""A tenth of what a thread that answers gets, where both want the same core."""


def in_background(work: Callable[[], _T]) -> _T:
    """Do the work in a thread of its own, and wait for it.

    On Linux it and the threads it starts run behind all others; elsewhere niceness is the process's, and stays.
    """
    with ThreadPoolExecutor(1, "background", initializer=_step_back) as pool:
        return pool.submit(work).result()


def _step_back() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
