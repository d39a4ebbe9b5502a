"""The state directory at start: made and held if that can be had, and done without if not."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidegate.durable_number import read_number
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.files import clear_way
from tidegate.telemetry.session import next_session

log = logging.getLogger("tidegate")

_NO_DIRECTORY = (
    "%s: the state directory can't be created: %s; nothing is kept over a restart; "
    "set a state_dir in agent.yaml that this user may create"
)
_NO_LOCK = "%s: can't be locked: %s; make sure that no second agent uses this state directory"


class InUseError(TidegateError):
    """Another agent holds the state directory."""

    exit_code = EX_UNAVAILABLE


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """Hold the directory against a second agent; where there is none to hold, say so and go on.

    Two agents on one spool and one policy store would undo each other's work. Raises InUseError.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.error(_NO_DIRECTORY, state_dir, error.strerror)  # noqa: TRY400 - expected
    descriptor = _to_lock(state_dir)
    try:
        if descriptor is not None:
            _lock(descriptor, state_dir)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _to_lock(state_dir: Path) -> int | None:
    """The lock file, else the directory itself, which takes no room and no right to write; None if neither."""
    lock = state_dir / "lock"
    try:
        clear_way(lock)
        return os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as first:
        try:
            return os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            log.error(_NO_LOCK, state_dir, first.strerror)  # noqa: TRY400 - expected
            return None


def _lock(descriptor: int, state_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUseError(
            f"{state_dir}: another agent is using it; stop that one or set another state_dir"
        ) from None
    except OSError as error:
        log.warning(_NO_LOCK, state_dir, error.strerror)


def damaged_numbers(state_dir: Path) -> tuple[str, ...]:
    """The files of one number each that hold something else, and what follows; ask before they are used."""
    follows = {
        "session": "the sessions go on from the clock",
        "latest_time": "it is taken from the other files' times",
    }
    return tuple(
        f"{state_dir / name}: damaged; {consequence}"
        for name, consequence in follows.items()
        if os.path.lexists(state_dir / name) and read_number(state_dir / name) is None
    )


def session_number(path: Path) -> int:
    """The number of the session that starts now, also where it can't be written: then it comes from the clock."""
    try:
        return next_session(path)
    except OSError as error:
        number = max((read_number(path) or 0) + 1, int(time.time()))
        log.warning("%s: can't be written: %s; this session is %d", path, error.strerror, number)
        return number
