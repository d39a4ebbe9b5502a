"""What was changed and what it was before, on disk before it is changed: a crash can't lose the way back."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Change:
    """One file of a control: what it said before tidegate first wrote it, and what it says if it still is ours.

    `ours` holds the last two values: a crash can fall between the journal and the write.
    """

    control: str
    file: str
    before: str
    ours: tuple[str, ...]


class Journal:
    """A small file of changes, replaced whole and synced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Change, ...]:
        """The changes of this boot. After a reboot the kernel has its own values again, and none is left."""
        if self._path.exists() and not self._path.is_file():
            # A pipe would be waited for; what stands there was never written by us.
            return ()
        try:
            document = json.loads(self._path.read_text())
            if not document["boot"] or document["boot"] != boot_id():
                return ()
            return tuple(
                Change(change["control"], change["file"], change["before"], tuple(change["ours"]))
                for change in document["changes"]
            )
        except FileNotFoundError:
            return ()
        except (ValueError, KeyError, TypeError):
            # It is replaced whole, so that only another hand can have broken it: then nothing is known.
            return ()

    def write(self, changes: Sequence[Change]) -> None:
        """Keep the changes. Raises OSError, also where this boot can't be told from the next: a crash couldn't be.

        After a reboot a governor can say by chance what was set before it, and would be put back to what it isn't.
        """
        if not boot_id():
            raise FileNotFoundError(f"{_BOOT_ID} can't be read (systemd's ProcSubset=pid hides it)")
        document = {"boot": boot_id(), "changes": [asdict(change) for change in changes]}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        with beside.open("w") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def boot_id() -> str:
    """What tells this boot from others, empty where the kernel doesn't say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
