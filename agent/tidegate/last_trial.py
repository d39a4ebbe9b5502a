"""What the installation leaves for the agent: that an upgrade is on trial, and how the last trial ended."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tidegate.files import read_file
from tidegate.shortened import shortened

FILE_NAME = "last-trial.json"
UNDER_WAY = "trial"
"""Holds the version to go back to, while another one is on trial."""
LAST_WORDS = "last-words"
"""Left by the unit where it took the link back: `VERSION TIME SENTENCE`, then lines of the log."""

MOST_LINES = 15
LINE_CHARACTERS = 300
REASON_CHARACTERS = 1000
_LARGEST_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class LastTrial:
    """`version` is relative to the prefix, such as versions/0.3.0-1a2b3c4d; `at` is ISO 8601.

    `last_words` are the last lines that a failed version logged, at most MOST_LINES of LINE_CHARACTERS.
    """

    version: str
    accepted: bool
    at: str = ""
    reason: str = ""
    last_words: tuple[str, ...] = ()


def as_json(trial: LastTrial) -> str:
    """The text of FILE_NAME."""
    return json.dumps(asdict(trial), indent=2) + "\n"


def failed(version: str, at: str, reason: str, log: str) -> LastTrial:
    """A trial that failed, with the end of what was logged."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()][-MOST_LINES:]
    words = tuple(shortened(line, LINE_CHARACTERS) for line in lines)
    return LastTrial(version, accepted=False, at=at, reason=shortened(reason, REASON_CHARACTERS), last_words=words)


def read_before_trial(prefix: Path) -> str | None:
    """The version that comes back if the one on trial fails; None where none is, or the file can't be read."""
    with suppress(OSError):
        return read_file(prefix / UNDER_WAY, _LARGEST_BYTES).decode(errors="replace").strip() or None
    return None


def read_last_trial(prefix: Path) -> LastTrial | None:
    """None before the first trial, and where the files can't be read."""
    with suppress(OSError, ValueError):
        first, _, log = read_file(prefix / LAST_WORDS, _LARGEST_BYTES).decode(errors="replace").partition("\n")
        version, at, reason = first.split(" ", 2)
        return failed(version, at, reason, log)
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
        found = json.loads(read_file(prefix / FILE_NAME, _LARGEST_BYTES))
        version, at = str(found["version"]), str(found.get("at", ""))
        if found["accepted"] is True:
            return LastTrial(version, accepted=True, at=at)
        log = "\n".join(str(line) for line in found.get("last_words", ()))
        return failed(version, at, str(found.get("reason", "")), log)
    return None
