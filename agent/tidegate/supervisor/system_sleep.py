"""Suspends the system while the policy sleeps, if agent.yaml says how, and tells of every suspension."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from tidegate.policy.sleep import Sleeping
from tidegate.supervisor.control.suspension import Read, Suspension, read_now, resumed
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.suspend_command import SuspendError, commands, suspend


class SystemSleep:
    """Belongs to the event loop. `keep` says goodbye on the disk and writes what must outlast a cut of the power.

    `back` takes the goodbye back; both run in threads. `refresh` has the sensors read anew: what they said before
    a suspension is as old as that.
    """

    def __init__(
        self,
        by: str | None,
        *,
        keep: Callable[[], None],
        back: Callable[[], None],
        refresh: Callable[[], None],
        emit: Callable[[Event], None],
        read: Read = read_now,
        run: Callable[[Sequence[Sequence[str]]], None] = suspend,
    ) -> None:
        self._by = by
        self._keep = keep
        self._back = back
        self._refresh = refresh
        self._emit = emit
        self._read = read
        self._run = run
        self._last = read()
        self._suspension = Suspension()
        self._suspending: asyncio.Task[None] | None = None
        self._said_goodbye = False

    def notice(self) -> None:
        """Tell of a suspension since the last call, whoever asked for it."""
        before, self._last = self._last, self._read()
        if (found := resumed(before, self._last)) is not None:
            details: dict[str, object] = {
                "suspended_s": round(found.suspended_s, 1),
                "clock_off_s": round(found.clock_off_s, 1),
            }
            self._emit(Event(EventKind.SLEEP, found.in_words(), details))
            self._refresh()

    def consider(self, sleeping: Sleeping | None) -> None:
        """Begin to suspend the system, where that is allowed, for a sleep that time alone ends; None is none."""
        if sleeping is None:
            if self._said_goodbye and (self._suspending is None or self._suspending.done()):
                self._said_goodbye = False
                asyncio.get_running_loop().run_in_executor(None, self._back)
            return
        if self._by is None or sleeping.wake_at is None or not self._suspension.due(sleeping, self._last):
            return
        self._suspension = self._suspension.asked(self._last, sleeping.wake_at)
        self._suspending = asyncio.create_task(self._suspend(sleeping, sleeping.wake_at, self._by))

    async def _suspend(self, sleeping: Sleeping, until: datetime, by: str) -> None:
        text = f"the system is to be suspended until {until:%Y-%m-%d %H:%M} by {by}"
        self._emit(Event(EventKind.SLEEP, text, {"until": until.isoformat(), "by": by}))
        # A hook may return before the power is cut: the goodbye holds until the sleep is over.
        self._said_goodbye = True
        try:
            await asyncio.to_thread(self._keep)
            await asyncio.to_thread(self._run, commands(by, until))
        except SuspendError as error:
            self._suspension = self._suspension.failed(sleeping)
            text = f"the system was not suspended, the worker alone sleeps: {error}"
            self._emit(Event(EventKind.FAULT, text, {"by": by}))
