"""The spool's counters as they were last read: reading them waits for the disk, and nobody else may."""

import asyncio
from contextlib import suppress

from tidegate.telemetry.spool import Spool, SpoolCounters

COUNTERS_S = 1.0
"""How long `refresh` waits for the spool's counters; then `latest` stays that of the last time."""


class SpoolCounts:
    """Belongs to the event loop; `latest` is None before the first refresh and while the file can't be read."""

    def __init__(self, spool: Spool) -> None:
        self.latest: SpoolCounters | None = None
        self._spool = spool
        self._reading: asyncio.Future[SpoolCounters | None] | None = None

    async def refresh(self) -> None:
        """Have `latest` be what the spool holds now, unless the disk takes long to say."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(asyncio.to_thread(lambda: self._spool.counters))
        with suppress(TimeoutError):
            async with asyncio.timeout(COUNTERS_S):
                self.latest = await asyncio.shield(self._reading)
