"""The last verdicts on pushed policies or bundles, newest first, kept over restarts."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tidegate.files import read_file, replace_file
from tidegate.shortened import shortened
from tidegate.supervisor.updates.outcome import Accepted, Deferred, Repeated, UpdateResult, reported_as
from tidegate.telemetry.payloads.reported import PastVerdict

FILE_NAME = "verdicts.json"
BUNDLES_FILE_NAME = "bundle_verdicts.json"
MOST_KEPT = 20
REASON_LIMIT = 160
"""Characters of a reason that is past: all verdicts travel in each report."""


def remembered(verdicts: Sequence[PastVerdict], result: UpdateResult, at_s: int) -> tuple[PastVerdict, ...]:
    """The verdicts with this one in front; one that was there before is counted up: repetition drives out nothing.

    `at_s` is Unix time. Pure.
    """
    match result:
        case Deferred() | Repeated():
            return tuple(verdicts)
        case Accepted():
            new = PastVerdict(result.version, result.hash, "accepted", at_s)
        case _:
            told = reported_as(result)
            reason = shortened(told.reason, REASON_LIMIT)
            new = PastVerdict(result.version, result.hash, told.state, at_s, reason, told.refusal)
    before = next((each for each in verdicts if _same(each, new)), None)
    count = 1 if before is None else before.count + 1
    rest = (each for each in verdicts if each is not before)
    return (replace(new, count=count), *rest)[:MOST_KEPT]


def _same(one: PastVerdict, other: PastVerdict) -> bool:
    return replace(one, at_s=0, count=1) == replace(other, at_s=0, count=1)


@cache
def _verdicts() -> TypeAdapter[tuple[PastVerdict, ...]]:
    return TypeAdapter(tuple[PastVerdict, ...])


class VerdictFile:
    """Where they are kept. What is written last may be a telemetry window old when the power goes."""

    def __init__(self, directory: Path, name: str = FILE_NAME) -> None:
        self._file = directory / name
        self._written = self.read()

    def read(self) -> tuple[PastVerdict, ...]:
        """What is kept; nothing where the file can't be read: nothing depends on it."""
        try:
            return _verdicts().validate_json(read_file(self._file))[:MOST_KEPT]
        except (OSError, ValidationError):
            return ()

    def write(self, verdicts: tuple[PastVerdict, ...]) -> None:
        """Keep them, if they are new; a disk that refuses is tried again at the next call."""
        if verdicts == self._written:
            return
        try:
            replace_file(self._file, json.dumps([asdict(each) for each in verdicts]))
        except OSError:
            return
        self._written = verdicts
