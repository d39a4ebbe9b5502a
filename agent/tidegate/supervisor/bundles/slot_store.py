"""The slots on disk: `bundles/slots.json` in the state directory, and a directory for each slot beside it."""

import json
import shutil
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.files import read_file, replace_file, set_aside
from tidegate.supervisor.bundles.slots import Slot, Slots, recovered
from tidegate.trust.ratchet import Outcome, Trusted

DIRECTORY = "bundles"
FILE_NAME = "slots.json"


class SlotStoreError(TidegateError):
    """The slots' file can't be written; nothing was changed."""

    exit_code = EX_UNAVAILABLE


@cache
def _slots() -> TypeAdapter[Slots]:
    return TypeAdapter(Slots)


class SlotStore:
    """Each `write` is one atomic replacement of one file; one process at a time.

    A file that can't be read or holds nonsense is moved aside, `damage` says so, and agent.yaml's bundle is in
    force; the trusted version goes on where it can still be read. `stopped` is what a start gave up, if anything.
    """

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir / DIRECTORY
        self.damage = ""
        self.unsaved = False
        self._file = self.directory / FILE_NAME
        found = self._read()
        self.slots = found
        self.stopped = found.incoming if found.on_trial else None
        if self.stopped is not None:
            self.step_back(recovered(found))

    def path(self, slot: Slot) -> Path:
        """The directory of a slot: a bundle, or one that comes in."""
        return self.directory / slot

    def write(self, slots: Slots) -> None:
        """Make this the state. Raises SlotStoreError, and nothing has changed then."""
        try:
            replace_file(self._file, json.dumps(asdict(slots)), mode=0o600)
        except OSError as error:
            raise SlotStoreError(
                f"{self._file}: can't be written: {error.strerror}; free room, or let this user write there"
            ) from error
        self.slots, self.unsaved = slots, False

    def step_back(self, slots: Slots) -> None:
        """Make this the state whatever the disk says; `settle` writes it down later.

        A stop before that finds a trial on the disk, and gives it up as well.
        """
        try:
            self.write(slots)
        except SlotStoreError:
            self.slots, self.unsaved = slots, True

    def settle(self) -> None:
        """Write down what the disk has refused so far, if it takes it now."""
        if self.unsaved:
            self.step_back(self.slots)

    def collect(self) -> None:
        """Delete slots that nothing refers to. A disk that refuses is asked again the next time."""
        for slot in set(Slot) - self.slots.used:
            self.clear(slot)

    def clear(self, slot: Slot) -> None:
        """Delete what lies in a slot; whoever has its files open keeps them."""
        if self.path(slot).exists():
            with suppress(OSError):
                shutil.rmtree(self.path(slot))

    def _read(self) -> Slots:
        raw = b""
        try:
            raw = read_file(self._file)
            return _slots().validate_json(raw)
        except FileNotFoundError:
            return Slots()
        except OSError as error:
            return self._begin_anew(f"it can't be read: {error.strerror}", raw)
        except ValidationError:
            return self._begin_anew("it is damaged", raw)

    def _begin_anew(self, what: str, raw: bytes) -> Slots:
        trusted = _readable_trust(raw)
        try:
            kept = f"it is kept as {set_aside(self._file).name}"
        except OSError as error:
            kept = f"it can't be moved aside: {error.strerror}"
        version = "any version is taken" if trusted is None else f"version {trusted.version} stays trusted"
        self.damage = f"{self._file}: {what}; {kept}; {version}"
        self.unsaved = trusted is not None
        return Slots(trusted=trusted)


def _readable_trust(raw: bytes) -> Trusted | None:
    """What a damaged file still says of the trusted version; an equal offer may bring its lost content again."""
    try:
        trusted = TypeAdapter(Trusted).validate_python(json.loads(raw)["trusted"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return Trusted(trusted.version, trusted.digest, Outcome.OFFERED)
