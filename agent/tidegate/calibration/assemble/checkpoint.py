"""A calibration as far as it got, on disk, so that an interrupted build goes on where it stopped."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from tidegate.calibration.search.greedy_search import Step
from tidegate.calibration.search.strategy import Course
from tidegate.models.comparing import Mask

_T = TypeVar("_T")
_STEP = TypeAdapter(Step)
_FAILED = TypeAdapter(tuple[str, str])

KEY = "key"
CHAINS: Mapping[Course, str] = {
    Course.ALL_AT_ONCE: "chain-all-at-once.jsonl",
    Course.EXITS_FIRST: "chain-exits-first.jsonl",
}
FAILURES = "failures.jsonl"


class Checkpoint:
    """A directory that belongs to one calibration: same model, data, plan and torch, told by hash."""

    def __init__(self, directory: Path, what: Mapping[str, object]) -> None:
        """Keeps what is there if it is this calibration's, and else starts anew."""
        self._directory = directory
        key = _digest(json.dumps(what, sort_keys=True, default=str))
        directory.mkdir(parents=True, exist_ok=True)
        if not _holds(directory / KEY, key):
            for name in (*CHAINS.values(), FAILURES):
                (directory / name).unlink(missing_ok=True)
            (directory / KEY).write_text(key)

    def steps(self, course: Course) -> tuple[Step, ...]:
        """A course's chain so far."""
        return tuple(_whole_lines(self._directory / CHAINS[course], _STEP))

    def add(self, course: Course, step: Step) -> None:
        """Keep one more."""
        _append(self._directory / CHAINS[course], _STEP.dump_json(step))

    def failures(self, engine: str, samples: int) -> "KeptFailures":
        """What was counted on the certify part's samples with an engine, told by its name and version."""
        return KeptFailures(self._directory / FAILURES, engine, samples)


class KeptFailures:
    """Which samples failed, by point, for the points that were counted so far with one engine."""

    def __init__(self, path: Path, engine: str, samples: int) -> None:
        self._path = path
        self._engine = engine
        self._samples = samples
        self._known = dict(_whole_lines(path, _FAILED))

    def of(self, point: object) -> Mask | None:
        """The point's, if it was counted."""
        packed = self._known.get(self._name(point))
        if packed is None:
            return None
        bits = np.frombuffer(bytes.fromhex(packed), np.uint8)
        return np.unpackbits(bits, count=self._samples).astype(np.bool_)

    def add(self, point: object, failed: Mask) -> None:
        """Keep one more."""
        _append(self._path, _FAILED.dump_json((self._name(point), np.packbits(failed).tobytes().hex())))

    def _name(self, point: object) -> str:
        """The same for the same point after an interruption: a hash of all that it holds, sets in order.

        With the engine, as points in fp32 name the reference engine wherever they run.
        """
        held = TypeAdapter(type(point)).dump_python(point)
        return _digest(json.dumps([self._engine, held], sort_keys=True, default=sorted))


def _whole_lines(path: Path, kind: TypeAdapter[_T]) -> list[_T]:
    """What a file's lines hold. A last line that was cut off in writing is left out, and cut off the file."""
    found: list[_T] = []
    whole: list[str] = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(kind.validate_json(line))
        except ValidationError:
            break
        whole.append(f"{line}\n")
    path.write_text("".join(whole))
    return found


def _append(path: Path, line: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(line + b"\n")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text
