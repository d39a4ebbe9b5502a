"""Sets controls and puts them back: at the end, when asked, and after a crash at the next start."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tidegate_drivers.controls.control import ControlError, OtherwiseTakenError, places, write
from tidegate_drivers.controls.journal import Change, Journal
from tidegate_drivers.linux.sysfs import read_text
from tidegate_drivers.sensor import SensorError


@dataclass(frozen=True, slots=True)
class Restored:
    """The controls that are as they were found, and why others are not; neither has what somebody else has set."""

    names: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


class Controls:
    """The controls that are switched on; none by default.

    `journal` is a file in the agent's state directory. Make one at the start and call `restore` at once: what a
    crashed predecessor left is put back before anything is set.
    """

    def __init__(self, journal: Path, enabled: Collection[str] = (), sysroot: Path = Path("/")) -> None:
        self._journal = Journal(journal)
        self.enabled = frozenset(enabled)
        self._sysroot = sysroot

    def set(self, name: str, value: str) -> None:
        """Set a control on all its files, or on none. Raises ControlError."""
        if name not in self.enabled:
            raise ControlError(f"{name} is switched off; list it under `controls` in agent.yaml to allow it")
        wanted = [(place.file, place.check(value)) for place in places(name, self._sysroot)]
        changes = {change.file: change for change in self._noted()}
        for file, ours in wanted:
            changes[str(file)] = self._change(name, file, ours, changes.get(str(file)))
        self._note(list(changes.values()))
        for file, ours in wanted:
            try:
                write(file, ours)
            except ControlError as error:
                if isinstance(error, OtherwiseTakenError):
                    # A frequency can be rounded: that is our doing too, and must be put back.
                    known = changes[str(file)]
                    changes[str(file)] = replace(known, ours=(*known.ours, error.taken))
                # Half a setting is none: a cluster at another governor than its neighbour.
                self._put_back([changes[str(file)] for file, _ in wanted])
                raise

    def restore(self, name: str | None = None) -> Restored:
        """Put a control back, or all that tidegate changed (None).

        A file that says something else than what tidegate wrote was changed by somebody since, and is left alone.
        """
        try:
            return self._put_back([change for change in self._noted() if name in (None, change.control)])
        except ControlError as error:
            return Restored((), (str(error),))

    def _change(self, name: str, file: Path, ours: str, earlier: Change | None) -> Change:
        now = self._now(file)
        # What somebody else has set since our last write is what they want back.
        if earlier is None or now not in earlier.ours:
            return Change(name, str(file), now, (ours,))
        return replace(earlier, ours=(earlier.ours[-1], ours))

    def _put_back(self, changes: Collection[Change]) -> Restored:
        """Raises ControlError when the journal can't be had."""
        failures: list[str] = []
        ours: dict[str, bool] = {}
        done: set[str] = set()
        for change in reversed(list(changes)):
            file = Path(change.file)
            try:
                if self._now(file) in change.ours:
                    write(file, change.before)
                    ours.setdefault(change.control, True)
                done.add(change.file)
            except ControlError as error:
                ours[change.control] = False
                failures.append(str(error))
        if done:
            self._note([change for change in self._noted() if change.file not in done])
        return Restored(tuple(name for name, back in ours.items() if back), tuple(failures))

    def _noted(self) -> tuple[Change, ...]:
        try:
            return self._journal.read()
        except OSError as error:
            raise ControlError(
                f"the record of what was changed can't be read: {error}; set another state_dir"
            ) from error

    def _note(self, changes: Sequence[Change]) -> None:
        try:
            self._journal.write(changes)
        except OSError as error:
            raise ControlError(
                f"the previous value can't be saved: {error}; free the disk or set another state_dir"
            ) from error

    def _now(self, file: Path) -> str:
        try:
            return read_text(file)
        except SensorError as error:
            raise ControlError(f"what {file} can't be read, so it could not be restored: {error}") from error
