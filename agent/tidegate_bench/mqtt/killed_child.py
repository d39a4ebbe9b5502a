"""A process that SIGKILL ends at a chosen step: before a change in a directory, inside a transaction of SQLite."""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidegate_bench.broken import BrokenError

CHANGES = frozenset({"os.rename", "os.truncate", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
OPCODES = 25
"""So many instructions of SQLite's virtual machine are one step inside a transaction."""


def forked(act: Callable[[], object]) -> int:
    """The pid of a fork that does `act` and ends: 0, or 1 after an exception. The caller must have one thread."""
    # What the parent's streams hold would be written twice.
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        act()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - nothing may come back into the parent's code
        os.write(2, f"{error!r}\n".encode())
        os._exit(1)


def was_killed(pid: int) -> bool:
    """Wait for a fork; whether SIGKILL ended it. Raises BrokenError where it failed by itself."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status:
        raise BrokenError(f"a simulated device ended by itself, wait status {status}; its message is above")
    return False


def die_at_change(number: int, below: Path) -> None:
    """Have this process killed before its `number`th change of files below a directory; for its whole life."""
    count = 0

    def look(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        opened = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _WRITES)
        if (opened or event in CHANGES) and str(arguments[0]).startswith(str(below)):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def die_in_sqlite(number: int) -> None:
    """Have this process killed at its `number`th step inside SQLite; for its whole life."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(*arguments, **options)
        database.set_progress_handler(step, OPCODES)
        return database

    connect = sqlite3.connect
    sqlite3.connect = watched  # type: ignore[assignment]  # the original is overloaded
