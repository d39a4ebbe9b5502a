"""A calibration's chain as far as it got, on disk, so that an interrupted build goes on where it stopped."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agent.calibration.search import Step

_STEP = TypeAdapter(Step)

KEY = "key"
CHAIN = "chain.jsonl"


class Checkpoint:
    """A directory that belongs to one calibration: same model, data, plan and torch, told by hash."""

    def __init__(self, directory: Path, what: Mapping[str, object]) -> None:
        """Keeps what is there if it is this calibration's, and else starts anew."""
        self._chain = directory / CHAIN
        key = hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()
        directory.mkdir(parents=True, exist_ok=True)
        if not _holds(directory / KEY, key):
            self._chain.unlink(missing_ok=True)
            (directory / KEY).write_text(key)

    def steps(self) -> tuple[Step, ...]:
        """The chain so far. A last line that was cut off in writing is left out."""
        found: list[Step] = []
        for line in self._chain.read_text().splitlines() if self._chain.exists() else ():
            try:
                found.append(_STEP.validate_json(line))
            except ValidationError:
                break
        self._chain.write_text("".join(_line(step) for step in found))
        return tuple(found)

    def add(self, step: Step) -> None:
        """Keep one more."""
        with self._chain.open("a") as stream:
            stream.write(_line(step))


def _line(step: Step) -> str:
    return _STEP.dump_json(step).decode() + "\n"


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text
