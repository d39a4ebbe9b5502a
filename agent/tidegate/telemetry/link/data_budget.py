"""How much data a link may take per day, spread over it, so that a metered contract lasts.

The generic cell rate algorithm (ITU-T I.371): one number, the moment at which the allowance will be whole again,
says all there is to know, so that it is kept over restarts in one small file.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tidegate.durable_number import read_number, write_number

PACKET_OVERHEAD_BYTES = 120
"""What a message costs beside its packet: the TCP/IP headers of it and of its acknowledgement, and that itself."""

_DAY_S = 86_400.0
# At most a quarter of a day's data at once, the rest spread over the day: never more than all of it in 24 hours.
_AT_ONCE = 0.25
# Telemetry leaves so much of what may go at once to events.
_FOR_EVENTS = 0.5
# The file is written so often while a day's data is used up.
_WRITES_PER_DAY = 64


class DataBudget:
    """An allowance that fills up evenly; used by one thread, but for `left_bytes`.

    Status and report go in any case, and are counted; telemetry and events wait for the allowance.
    Without a file it is kept in memory alone. `clock` is Unix time in seconds.
    """

    def __init__(
        self, bytes_per_day: int, file: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._at_once_bytes = bytes_per_day * _AT_ONCE
        self._bytes_per_s = bytes_per_day * (1 - _AT_ONCE) / _DAY_S
        self._file = file
        self._clock = clock
        self._kept_s = 0.0
        self._whole_at = 0.0
        if file is not None:
            self._whole_at = self._kept_s = float(read_number(file) or 0)

    @property
    def left_bytes(self) -> float:
        """What may be sent now; negative after more was sent than was allowed."""
        return self._at_once_bytes - max(0.0, self._whole_at - self._clock()) * self._bytes_per_s

    def allows(self, *, telemetry: bool) -> bool:
        """Whether a row may go now."""
        self._mend()
        return self.left_bytes > (self._at_once_bytes * _FOR_EVENTS if telemetry else 0.0)

    def spend(self, packet_bytes: int) -> None:
        """A message of this size goes out."""
        cost_s = (packet_bytes + PACKET_OVERHEAD_BYTES) / self._bytes_per_s
        self._mend()
        self._whole_at = max(self._whole_at, self._clock()) + cost_s
        if self._file is not None and self._whole_at > self._kept_s:
            # Ahead of what is spent: a kill must not make a new allowance.
            ahead = self._whole_at + _DAY_S / _WRITES_PER_DAY
            with suppress(OSError):
                write_number(self._file, int(ahead))
                self._kept_s = float(int(ahead))

    def _mend(self) -> None:
        """A clock that was set back is no reason to be silent for longer than it ever takes to fill up."""
        self._whole_at = min(self._whole_at, self._clock() + 2 * self._at_once_bytes / self._bytes_per_s)
