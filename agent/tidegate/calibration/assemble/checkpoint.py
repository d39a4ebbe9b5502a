"""A calibration as far as it got, on disk, so that an interrupted build goes on where it stopped."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from tidegate.calibration.certify.kept_failures import KeptFailures
from tidegate.calibration.json_lines import append_line, whole_lines
from tidegate.calibration.search.greedy_search import ChainStep

_STEP = TypeAdapter(ChainStep)

KEY = "key"
CHAIN = "chain.jsonl"
FAILURES = "failures.jsonl"


class Checkpoint:
    """A directory that belongs to one calibration: same model, data, plan and torch, told by hash."""

    def __init__(self, directory: Path, what: Mapping[str, object]) -> None:
        """Keeps what is there if it is this calibration's, and else starts anew."""
        self._directory = directory
        text = json.dumps(what, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()
        directory.mkdir(parents=True, exist_ok=True)
        if not _holds(directory / KEY, key):
            for name in (CHAIN, FAILURES):
                (directory / name).unlink(missing_ok=True)
            (directory / KEY).write_text(key)

    def steps(self) -> tuple[ChainStep, ...]:
        """The greedy chain so far, full first; empty when its search has not begun."""
        return tuple(whole_lines(self._directory / CHAIN, _STEP))

    def add(self, step: ChainStep) -> None:
        """Append a step to the greedy chain on disk."""
        append_line(self._directory / CHAIN, _STEP.dump_json(step))

    def failures(self, engine: str, samples: int) -> KeptFailures:
        """What was counted on the certify part's samples with an engine, told by its name and version."""
        return KeptFailures(self._directory / FAILURES, engine, samples)


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text
