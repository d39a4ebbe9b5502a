"""Brings the state directory to the schema of this version at start; whatever is wrong there, the agent starts."""

import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tidegate.files import replace_file
from tidegate.supervisor.state_schema.change import Change, change_between, finish, make, read_files
from tidegate.supervisor.state_schema.migrations import MIGRATIONS, SCHEMA, files_between, migrated
from tidegate.supervisor.state_schema.stated import FILE_NAME, OURS, Stated, Unreadable, as_bytes, read_stated

log = logging.getLogger("tidegate")

WAY_BACK_S = 60.0
_EVERY_FILE = files_between(1, SCHEMA)


@dataclass(frozen=True, slots=True)
class Brought:
    """What was wrong with the state found, and why its schema can't be stated, in sentences."""

    faults: tuple[str, ...] = ()
    unstated: str = ""


def bring_to_schema(state_dir: Path) -> Brought:
    """Make the state found there this version's.

    The caller holds the directory. Raises nothing for the disk: state that can't be brought along is left to the
    readers of its files, who begin anew.
    """
    if not state_dir.is_dir():
        return Brought()
    try:
        return Brought(_brought(state_dir))
    except OSError as error:
        return Brought(unstated=_unstated(state_dir, error))


class UnstatedSchema:
    """State that is ours as it stands, as of a first start, in a directory whose disk did not let us say so."""

    def __init__(self, state_dir: Path, why: str) -> None:
        self._state_dir = state_dir
        self._why: str | None = why or None

    def trouble(self) -> str | None:
        """Why the schema can't be stated; None once it is, which each call tries. Waits for the disk."""
        if self._why is not None:
            try:
                self._state()
            except OSError as error:
                self._why = _unstated(self._state_dir, error)
        return self._why

    def _state(self) -> None:
        """What would have to be migrated waits for a start: others use those files by now."""
        stated = read_stated(self._state_dir)
        if isinstance(stated, Stated) and stated.schema <= SCHEMA:
            there = read_files(self._state_dir, files_between(stated.schema, SCHEMA))
            if migrated(there, stated.schema, SCHEMA) == there:
                replace_file(self._state_dir / FILE_NAME, as_bytes(OURS))
                self._why = None


def _unstated(state_dir: Path, error: OSError) -> str:
    where = error.filename or state_dir
    return f"{where}: {error.strerror}; the state stays as it is until it can be brought to schema {SCHEMA}"


def _brought(state_dir: Path) -> tuple[str, ...]:
    finish(state_dir)
    stated = read_stated(state_dir)
    if isinstance(stated, Unreadable):
        replace_file(state_dir / FILE_NAME, as_bytes(OURS))
        return (f"{stated.why}; its files are read as schema {SCHEMA}",)
    if stated.schema > SCHEMA:
        return _from_newer(state_dir, stated)
    if stated != OURS:
        _migrate(state_dir, stated.schema, OURS)
    return ()


def take_back(state_dir: Path, wanted: int) -> None:
    """Our state as an older schema has it, for the older version that holds the directory. Raises OSError."""
    finish(state_dir)
    stated = read_stated(state_dir)
    if isinstance(stated, Stated) and 1 <= wanted < stated.schema <= SCHEMA:
        _migrate(state_dir, stated.schema, Stated(wanted, None))


def _migrate(state_dir: Path, found: int, wanted: Stated) -> None:
    before = read_files(state_dir, files_between(found, wanted.schema))
    after = migrated(before, found, wanted.schema)
    change = change_between(before, after, kept_in=_kept_in(found))
    make(state_dir, Change({**change.write, FILE_NAME: as_bytes(wanted)}, change.remove))
    for migration in MIGRATIONS[found - 1 : wanted.schema - 1] if before else ():
        log.info("%s: schema %d to %d: %s", state_dir, found, wanted.schema, migration.what)


def _from_newer(state_dir: Path, stated: Stated) -> tuple[str, ...]:
    """State that a newer version has left: that one brings it back, else what it has put aside is used again."""
    why = _ask_newer(state_dir, stated)
    # Stopped on its way, by the deadline or the disk, it has written down what is left to do.
    finish(state_dir)
    now = read_stated(state_dir)
    if isinstance(now, Stated) and now.schema == SCHEMA:
        make(state_dir, Change({FILE_NAME: as_bytes(OURS)}, ()))
        log.info("%s: schema %d to %d, by %s", state_dir, stated.schema, SCHEMA, stated.written_by)
        return ()
    kept = read_files(state_dir / _kept_in(SCHEMA), _EVERY_FILE)
    theirs = read_files(state_dir, _EVERY_FILE)
    change = change_between(theirs, {**theirs, **kept}, kept_in=_kept_in(stated.schema))
    make(state_dir, Change({**change.write, FILE_NAME: as_bytes(OURS)}, change.remove))
    used = f"{', '.join(kept)} as kept before that" if kept else "nothing was kept of before"
    found = f"{state_dir}: written by a newer version of tidegate, schema {stated.schema} where {SCHEMA} is known"
    theirs_kept = f"newer files are in {_kept_in(stated.schema)}"
    return (f"{found}; it can't be brought back: {why}; used again: {used}; {theirs_kept}",)


def _ask_newer(state_dir: Path, stated: Stated) -> str:
    """Have the version that wrote it bring it back; why not, empty where it did.

    Only a version beside ours is started, in the folder that the installer alone writes to.
    """
    if stated.written_by is None:
        return "it does not say which version that was"
    python = Path(sys.prefix).parent / stated.written_by / "bin/python"
    if not python.exists():
        return f"{stated.written_by} is not installed any more"
    command = [str(python), "-I", "-m", "tidegate.supervisor.state_schema", str(state_dir), str(SCHEMA)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=WAY_BACK_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{stated.written_by}: {error}"
    return "" if done.returncode == 0 else f"{stated.written_by}: {(done.stderr.splitlines() or ['?'])[-1]}"


def _kept_in(schema: int) -> str:
    return f"schema-{schema}"
