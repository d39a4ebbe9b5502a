"""One queue of rows on their way out: telemetry, or all the rest, which goes first."""

from collections import deque
from dataclasses import dataclass, field

from tidegate.telemetry.spool.row import Row


@dataclass(slots=True)
class Lane:
    """`fetched` rows are taken out of the spool up to `cursor`; `look` says that there may be more behind it."""

    telemetry: bool
    cursor: int = 0
    fetched: deque[Row] = field(default_factory=deque)
    look: bool = True

    def rewind(self, seq: int) -> None:
        """Come back to this row."""
        if seq <= self.cursor:
            self.cursor = seq - 1
            self.fetched.clear()
        self.look = True
