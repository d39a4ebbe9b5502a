"""When the control loop decides next: soon after news, and now and then without any."""

import asyncio
from collections import deque
from contextlib import suppress

SOONEST_S = 0.5
"""The least time between two decisions: a storm of news is answered twice a second."""
LATEST_S = 2.0
"""The most without news: what follows from time alone, such as a schedule, may be that late."""
REMEMBERED_S = 60.0


class Cadence:
    """Belongs to the event loop that it is made in; `hurry` may be called on any thread."""

    def __init__(self, soonest_s: float = SOONEST_S, latest_s: float = LATEST_S) -> None:
        self._soonest_s = soonest_s
        self._latest_s = latest_s
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._news_at = 0.0
        # When each of the last decisions came, and how late.
        self._late: deque[tuple[float, float]] = deque()

    @property
    def latest_s(self) -> float | None:
        """By how much a decision of the last minute came late at most; None before the second one."""
        return max((late_s for _, late_s in self._late), default=None)

    def hurry(self) -> None:
        """There is news: the next decision is due as soon as may be."""
        if not self._news.is_set():
            # Before the loop hears of it: what keeps it from hearing is what makes a decision late.
            self._news_at = self._loop.time()
            with suppress(RuntimeError):  # the loop has ended before the thread
                self._loop.call_soon_threadsafe(self._news.set)

    async def next(self, *, waiting: bool) -> None:
        """Return when the next decision is due; one that is `waiting` for its time to come can't wait for news."""
        began_at = self._loop.time()
        latest_s = self._soonest_s if waiting else self._latest_s
        due_at = began_at + latest_s
        # One timer: each wakes an idle device.
        with suppress(TimeoutError):
            async with asyncio.timeout(latest_s):
                await self._news.wait()
                due_at = min(due_at, max(began_at + self._soonest_s, self._news_at))
        await asyncio.sleep(began_at + self._soonest_s - self._loop.time())
        self._news.clear()
        self._remember(due_at)

    def _remember(self, due_at: float) -> None:
        now = self._loop.time()
        self._late.append((now, max(0.0, now - due_at)))
        while self._late[0][0] < now - REMEMBERED_S:
            self._late.popleft()
