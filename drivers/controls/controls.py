"""Sets controls and puts them back: at the end, when asked, and after a crash at the next start."""

from collections.abc import Collection
from pathlib import Path

from drivers.controls.control import ControlError, places, write
from drivers.controls.journal import Change, Journal
from drivers.linux.sysfs import read_text
from drivers.sensor import SensorError


class Controls:
    """The controls that are switched on; none by default.

    `journal` is a file in the agent's state directory. Make one at the start and call `restore` at once: what a
    crashed predecessor left is put back before anything is set.
    """

    def __init__(self, journal: Path, enabled: Collection[str] = (), sysroot: Path = Path("/")) -> None:
        self._journal = Journal(journal)
        self._enabled = frozenset(enabled)
        self._sysroot = sysroot

    def set(self, name: str, value: str) -> None:
        """Set a control on all its files, or on none. Raises ControlError."""
        if name not in self._enabled:
            raise ControlError(f"{name} is switched off; the policy's controls must name it before it may be set")
        wanted = [(place.file, place.check(value)) for place in places(name, self._sysroot)]
        earlier = {change.file: change for change in self._journal.read()}
        changes = dict(earlier)
        for file, ours in wanted:
            known = earlier.get(str(file))
            if known is None:
                changes[str(file)] = Change(str(file), self._now(file), (ours,))
            else:
                changes[str(file)] = Change(str(file), known.before, (known.ours[-1], ours))
        self._journal.write(list(changes.values()))
        for file, ours in wanted:
            try:
                write(file, ours)
            except ControlError:
                # Half a setting is none: a cluster at another governor than its neighbour.
                self._put_back([change for change in changes.values() if Path(change.file) in dict(wanted)])
                raise

    def restore(self) -> tuple[str, ...]:
        """Put everything back that tidegate changed; what could not be put back, each with its reason.

        A file that says something else than what tidegate wrote was changed by somebody since, and is left alone.
        """
        return self._put_back(self._journal.read())

    def _put_back(self, changes: Collection[Change]) -> tuple[str, ...]:
        failures: list[str] = []
        done: set[str] = set()
        for change in reversed(list(changes)):
            file = Path(change.file)
            try:
                if self._now(file) in change.ours:
                    write(file, change.before)
                done.add(change.file)
            except ControlError as error:
                failures.append(str(error))
        left = [change for change in self._journal.read() if change.file not in done]
        self._journal.write(left)
        return tuple(failures)

    def _now(self, file: Path) -> str:
        try:
            return read_text(file)
        except SensorError as error:
            raise ControlError(f"what {file} says now is unknown, so it could not be put back: {error}") from error
