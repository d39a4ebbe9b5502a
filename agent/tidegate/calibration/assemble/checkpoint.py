"""A calibration as far as it got, on disk, so that an interrupted build goes on where it stopped."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from tidegate.calibration.assemble.engine_beginning import Beginning
from tidegate.calibration.certify.kept_failures import KeptFailures
from tidegate.calibration.json_lines import append_line, whole_lines
from tidegate.calibration.measure.exit_times import ExitTimes
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.strategy import SearchStrategy

_STEP = TypeAdapter(tuple[str, ChainStep])
_TIMES = TypeAdapter(tuple[str, ExitTimes])
_BEGINNING = TypeAdapter(tuple[str, Beginning])
_CHOSEN = TypeAdapter(tuple[str, SearchStrategy])

KEY = "key"
CHAIN = "chain.jsonl"
FAILURES = "failures.jsonl"
TIMES = "times.jsonl"
CHOSEN = "chosen.jsonl"
BEGINNINGS = "beginnings.jsonl"


class Checkpoint:
    """A directory that belongs to one calibration: same model, data, plan and torch, told by hash."""

    def __init__(self, directory: Path, what: Mapping[str, object]) -> None:
        """Keeps what is there if it is this calibration's, and else starts anew."""
        self._directory = directory
        text = json.dumps(what, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()
        directory.mkdir(parents=True, exist_ok=True)
        if not _holds(directory / KEY, key):
            for name in (CHAIN, FAILURES, TIMES, CHOSEN, BEGINNINGS):
                (directory / name).unlink(missing_ok=True)
            (directory / KEY).write_text(key)

    def steps(self, engine: str = "") -> tuple[ChainStep, ...]:
        """The greedy chain so far, full first; empty when its search has not begun. "": of no engine's own."""
        return tuple(step for owner, step in whole_lines(self._directory / CHAIN, _STEP) if owner == engine)

    def add(self, step: ChainStep, engine: str = "") -> None:
        """Append a step to the greedy chain on disk."""
        append_line(self._directory / CHAIN, _STEP.dump_json((engine, step)))

    def beginning(self, engine: str) -> Beginning | None:
        """How the chain begins on an engine, told by its name and version: times have a say in it."""
        return dict(whole_lines(self._directory / BEGINNINGS, _BEGINNING)).get(engine)

    def add_beginning(self, engine: str, beginning: Beginning) -> None:
        """Keep an engine's."""
        append_line(self._directory / BEGINNINGS, _BEGINNING.dump_json((engine, beginning)))

    def times(self, engine: str) -> ExitTimes | None:
        """What exits were measured to take on an engine: measured again, they would lead to other thresholds."""
        return dict(whole_lines(self._directory / TIMES, _TIMES)).get(engine)

    def add_times(self, engine: str, times: ExitTimes) -> None:
        """Keep an engine's."""
        append_line(self._directory / TIMES, _TIMES.dump_json((engine, times)))

    def chosen(self, engine: str) -> SearchStrategy | None:
        """Which chain was taken for an engine, by times as well."""
        return dict(whole_lines(self._directory / CHOSEN, _CHOSEN)).get(engine)

    def add_chosen(self, engine: str, strategy: SearchStrategy) -> None:
        """Keep an engine's."""
        append_line(self._directory / CHOSEN, _CHOSEN.dump_json((engine, strategy)))

    def failures(self, engine: str, samples: int) -> KeptFailures:
        """What was counted on the certify part's samples with an engine, told by its name and version."""
        return KeptFailures(self._directory / FAILURES, engine, samples)


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text
