"""What does not work around the agent while it serves on: told when it changes, and shown in the status."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tidegate.supervisor.events.event import Event, EventKind

log = logging.getLogger("tidegate")

# The same trouble again within this time is not news: a connection that comes and goes would fill the spool.
QUIET_S = 600.0
# Below this a disk takes no file that is worth keeping.
_ROOM_BYTES = 16 << 10

Look = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that does not work: which part, since when (ISO 8601), and why in a sentence."""

    part: str
    since: str
    because: str


class Troubles:
    """Asks each part what is wrong with it; `emit` takes an event for each change.

    `ask` may wait for a disk and belongs into a thread; all else is the loop's.
    """

    def __init__(self, emit: Callable[[Event], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._emit = emit
        self._clock = clock
        self._looks: dict[str, Look] = {}
        self._now: dict[str, Trouble] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._announced: set[str] = set()

    @property
    def now(self) -> tuple[Trouble, ...]:
        """What is wrong as far as it was last looked at."""
        return tuple(self._now.values())

    def watch(self, part: str, look: Look) -> None:
        """Ask `look` from now on; it gives None while nothing is wrong."""
        self._looks[part] = look

    def note(self, part: str, because: str | None) -> None:
        """Say now what is wrong with a part, or that nothing is any more."""
        before = self._now.get(part)
        if because is None:
            if before is not None:
                del self._now[part]
                if part in self._announced:
                    self._announced.discard(part)
                    self._emit(Event(EventKind.FAULT, f"{part}: works again", {"part": part, "over": True}))
            return
        if before is not None and before.because == because:
            return
        since = datetime.now(UTC).isoformat(timespec="seconds") if before is None else before.since
        self._now[part] = Trouble(part, since, because)
        last = self._told.get((part, because))
        if last is None or self._clock() - last > QUIET_S:
            self._told = {key: at for key, at in self._told.items() if self._clock() - at <= QUIET_S}
            self._told[part, because] = self._clock()
            self._announced.add(part)
            self._emit(Event(EventKind.FAULT, f"{part}: {because}", {"part": part, "over": False}))

    def ask(self) -> dict[str, str | None]:
        """What each part says is wrong with it now, for `tell`."""
        return {part: look() for part, look in self._looks.items()}

    def tell(self, found: Mapping[str, str | None]) -> None:
        """Note what `ask` found."""
        for part, because in found.items():
            self.note(part, because)


def trouble_with_directory(path: Path) -> str | None:
    """Why nothing can be kept in a directory, None if it can. Writes nothing."""
    lost = "what is decided, pushed or learned now is not kept over a restart"
    try:
        if not path.is_dir():
            return f"{path} is not a directory (any more); {lost}"
        found = os.statvfs(path)
    except OSError as error:
        return f"{path}: {error.strerror}; {lost}"
    obstacles = (
        (bool(found.f_flag & os.ST_RDONLY), "is on a disk that is mounted read-only"),
        (not os.access(path, os.W_OK | os.X_OK), "may not be written by this user"),
        (found.f_bavail * found.f_frsize < _ROOM_BYTES, "is on a full disk: free some room"),
        (found.f_files > 0 and found.f_favail == 0, "is on a disk that takes no more files: remove some"),
    )
    return next((f"{path} {obstacle}; {lost}" for there, obstacle in obstacles if there), None)
