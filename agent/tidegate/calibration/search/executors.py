"""Executors by name: processes on this machine, or a Dask cluster's workers."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from tidegate.calibration.search.trials import Workers
from tidegate.errors import EX_UNAVAILABLE, EX_USAGE, TidegateError

PROCESSES, DASK = "processes", "dask"


class ExecutorNameError(TidegateError):
    """No executor is called so; the message says which there are."""

    exit_code = EX_USAGE


class ExecutorUnavailable(TidegateError):  # noqa: N818 - reads as what it is at the call site
    """The cluster does not answer; the message says where it was looked for."""

    exit_code = EX_UNAVAILABLE


@contextmanager
def opened_executor(name: str) -> Iterator[Workers]:
    """`processes`, `processes:COUNT` or `dask:ADDRESS`, closed at the end. Raises ExecutorNameError and
    ExecutorUnavailable."""
    kind, colon, rest = name.partition(":")
    if kind == PROCESSES:
        count = (
            _count(name, rest)
            if colon
            else len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
        # Forked, they would inherit the locks of torch's threads without the threads.
        with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
            yield Workers(pool, count)
    elif kind == DASK and rest:
        from distributed import Client  # noqa: PLC0415 - an extra

        try:
            client = Client(rest, timeout="10s")
        except OSError as error:
            raise ExecutorUnavailable(f"{name}: no Dask scheduler answers at {rest}: {error}") from error
        with client:
            count = len(client.nthreads())
            if count == 0:
                raise ExecutorUnavailable(f"{name}: the scheduler has no workers; start some: dask worker {rest}")
            yield Workers(client.get_executor(), count)
    else:
        raise ExecutorNameError(f"{name}: no such executor; there are processes, processes:COUNT, dask:ADDRESS")


def _count(name: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ExecutorNameError(f"{name}: COUNT must be a number from 1 to 1024, is {text!r}")
    return int(text)
