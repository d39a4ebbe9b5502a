"""Models that Frigate hands over: kept as files, the last one of them opened, and opened again after a restart."""

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tidegate.engines.engine import Variant
from tidegate.engines.runtime.memory import return_freed
from tidegate.errors import TidegateError
from tidegate.files import replace_file

log = logging.getLogger(__name__)

MAX_MODEL_BYTES = 256 << 20
KEPT = 3
"""Files, the newest; Frigate sends again what is gone."""
INDEX = "models.json"


class FileModel(Variant, Protocol):
    """What answers for a file."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """With the batch; None stands for any size."""
        ...


OpenFile = Callable[[Path, str], FileModel]
"""A variant over an .onnx file, under a name. Raises TidegateError."""


class HandOver:
    """Files in `directory`; `open_file` turns one into what answers. One thread's, but `variant`."""

    def __init__(self, directory: Path, open_file: OpenFile) -> None:
        self.variant: FileModel | None = None
        """What answers, None before a model has come."""
        self._directory = directory
        self._open_file = open_file
        self._hash = ""
        self._hashes = _read_index(directory / INDEX)

    def open_last(self) -> None:
        """Open the model that answered before a restart, where there is one."""
        if self._hashes:
            self.open_named([*self._hashes][-1])

    def has(self, name: str) -> bool:
        """Whether a model of that name is kept."""
        return name in self._hashes and self._path(self._hashes[name]).is_file()

    def open_named(self, name: str) -> str:
        """Let the kept model of that name answer; why it can't, or an empty text."""
        return self._open(name, self._hashes[name])

    def take(self, name: str, content: bytes | memoryview) -> tuple[bool, str]:
        """Keep a model and let it answer; whether it is kept, and why it doesn't answer, or an empty text.

        One that answers already is not opened again. One that can't be opened is not kept, and the one before
        goes on answering.
        """
        if not name or len(content) > MAX_MODEL_BYTES:
            return (
                False,
                f"a model of {len(content)} bytes named {name!r}; allowed are a name and {MAX_MODEL_BYTES} bytes",
            )
        found = hashlib.sha256(content).hexdigest()
        path = self._path(found)
        try:
            if not path.is_file():
                replace_file(path, bytes(content), mode=0o600)
        except OSError as error:
            return False, f"{path}: {error.strerror or error}; free some space or mend its permissions"
        if reason := self._open(name, found):
            if found not in self._hashes.values():
                path.unlink(missing_ok=True)
            return False, reason
        return True, ""

    def _open(self, name: str, wanted: str) -> str:
        if wanted != self._hash or self.variant is None:
            try:
                self.variant, self._hash = self._open_file(self._path(wanted), name), wanted
            except (TidegateError, OSError) as error:
                log.error("model %s of Frigate: %s", name, error)  # noqa: TRY400 - its reason is all there is to know
                return str(error)
            return_freed()  # of the model before it, and of what opening this one took
            log.info("model %s (%s...) of Frigate answers", name, wanted[:12])
        self._remember(name, wanted)
        return ""

    def _remember(self, name: str, wanted: str) -> None:
        """The last one is the one that answers."""
        hashes = {known: each for known, each in self._hashes.items() if known != name} | {name: wanted}
        while len(hashes) > KEPT:
            hashes.pop(next(iter(hashes)))
        if [*hashes.items()] == [*self._hashes.items()]:
            return
        gone = {*self._hashes.values()} - {*hashes.values()}
        self._hashes = hashes
        with suppress(OSError):  # Frigate hands it over again
            replace_file(self._directory / INDEX, json.dumps(hashes))
        for each in gone:
            with suppress(OSError):
                self._path(each).unlink(missing_ok=True)

    def _path(self, wanted: str) -> Path:
        """Names of files never come from Frigate, so none can lead elsewhere."""
        return self._directory / f"{wanted}.onnx"


def _read_index(path: Path) -> dict[str, str]:
    """Hashes by name, the last one that answered last; what is damaged is as nothing."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return {
                str(name): each
                for name, each in found.items()
                if isinstance(each, str) and len(each) == 64 and each.isalnum()
            }
    return {}
