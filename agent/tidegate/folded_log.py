"""Log lines that a stranger can't make many: equal ones are folded into a count, and all together have a rate."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

FOLDED_S = 60.0
"""A line is written once in this time; how often it came again is said at the end of it."""
BURST_BYTES = 32 * 1024
BYTES_PER_S = 512.0
MAX_KINDS = 256
_LAST_CHARACTERS = 500

Kind = tuple[str, int, str]


@dataclass(slots=True)
class _Repeated:
    """One kind of line since it was last written."""

    since: float
    again: int = 0
    last: str = ""


class FoldingHandler(logging.StreamHandler[TextIO]):
    """A stream handler in whose place `tick` must be called now and then, so that what was folded is said.

    Lines are equal when logger, level and message are, whatever the arguments; `by_text` has the arguments count.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        by_text: bool = False,
    ) -> None:
        super().__init__(stream)
        self._by_text = by_text
        self._clock = clock
        self._kinds: dict[Kind, _Repeated] = {}
        self._left_bytes, self._at = float(BURST_BYTES), clock()
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it."""
        kind = (record.name, record.levelno, record.getMessage() if self._by_text else str(record.msg))
        repeated = self._kinds.get(kind)
        if repeated is not None:
            repeated.again += 1
            repeated.last = record.getMessage().strip()[:_LAST_CHARACTERS]
            return
        if len(self._kinds) < MAX_KINDS:
            self._kinds[kind] = _Repeated(self._clock())
        if self._affords(record):
            super().emit(record)
        else:
            self._left_out += 1

    def tick(self) -> None:
        """Say what was folded a while ago, and how much found no room."""
        now = self._clock()
        for kind, repeated in [*self._kinds.items()]:
            if now - repeated.since < FOLDED_S:
                continue
            del self._kinds[kind]
            if repeated.again:
                period = f"{now - repeated.since:.0f} s"
                self._say(kind, f"{repeated.again} more times in {period}, the last: {repeated.last}")
        if self._left_out and self._refilled() >= BURST_BYTES / 2:
            left_out, self._left_out = self._left_out, 0
            self._say(
                (__name__, logging.WARNING, ""), f"{left_out} lines were left out, there were too many of them"
            )

    def _say(self, kind: Kind, text: str) -> None:
        name, level, _ = kind
        record = logging.LogRecord(name, level, __file__, 0, "%s", (text,), None)
        if self._affords(record):
            super().emit(record)

    def _affords(self, record: logging.LogRecord) -> bool:
        if (size := len(self.format(record)) + len(self.terminator)) > self._refilled():
            return False
        self._left_bytes -= size
        return True

    def _refilled(self) -> float:
        now = self._clock()
        self._left_bytes = min(BURST_BYTES, self._left_bytes + (now - self._at) * BYTES_PER_S)
        self._at = now
        return self._left_bytes
