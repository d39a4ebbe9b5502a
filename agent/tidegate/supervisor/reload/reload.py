"""`SIGHUP` and `tidegate reload`: read, check, swap; what fails leaves what runs, and is told."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tidegate.errors import TidegateError
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.reload.candidate import Candidate
from tidegate.supervisor.sd_notify import notify
from tidegate.supervisor.status.troubles import Troubles
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.supervisor.worker.instance import READY_DEADLINE_S

log = logging.getLogger("tidegate")

PART = "agent.yaml"
DEADLINE_S = READY_DEADLINE_S + 60.0
"""The longest a reload takes: for a worker to get ready, for requests and a broker to be let go."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What is in force now that was not, in words, and the keys that need a restart; or why nothing was done."""

    changed: tuple[str, ...] = ()
    after_restart: tuple[str, ...] = ()
    refused: str = ""


class Reload:
    """One at a time; `candidate` reads and checks and may block, `bring` swaps."""

    def __init__(
        self,
        candidate: Callable[[], Candidate],
        bring: Callable[[Candidate], Awaitable[tuple[str, ...]]],
        *,
        ready: Callable[[], bool],
        troubles: Troubles,
        emit: Callable[[Event], None],
    ) -> None:
        self._candidate = candidate
        self._bring = bring
        self._ready = ready
        self._troubles = troubles
        self._emit = emit
        self._one_at_a_time = asyncio.Lock()
        self._asked: set[asyncio.Task[Reloaded]] = set()

    def ask(self) -> None:
        """Reload some time soon; returns at once."""
        task = asyncio.get_running_loop().create_task(self.run())
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def cancel(self) -> None:
        """Give up what is under way; the agent ends."""
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)

    @asynccontextmanager
    async def kept_out(self) -> AsyncIterator[None]:
        """No reload meanwhile: something else is swapped in."""
        async with self._one_at_a_time:
            yield

    async def run(self) -> Reloaded:
        """Reload now; returns when it is in force or refused."""
        async with self._one_at_a_time:
            if self._ready():
                notify(
                    RELOADING=1,
                    MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000,
                    EXTEND_TIMEOUT_USEC=int(DEADLINE_S * 1e6),
                )
            try:
                reloaded = await self._reloaded()
            finally:
                if self._ready():
                    notify(READY=1)
            self._tell(reloaded)
            # Whoever mended something sees at once whether it is.
            self._troubles.tell(await asyncio.to_thread(self._troubles.ask))
            return reloaded

    async def _reloaded(self) -> Reloaded:
        try:
            candidate = await asyncio.to_thread(self._candidate)
            return Reloaded(await self._bring(candidate), candidate.after_restart)
        except WorkerDown as error:
            return Reloaded(refused=f"a worker with it does not get ready: {error}")
        except TidegateError as error:
            return Reloaded(refused=str(error))
        except OSError as error:
            return Reloaded(refused=f"{error.filename or 'this machine'}: {error.strerror or error}")
        except Exception as error:
            log.exception("reload")
            return Reloaded(refused=f"the agent failed over it: {error!r}")

    def _tell(self, reloaded: Reloaded) -> None:
        if reloaded.refused:
            text = f"not reloaded, the agent goes on as before: {reloaded.refused}"
            log.error("%s: %s", PART, text)  # each time: whoever asked looks for it, and an event is told once
            self._troubles.note(PART, text)
            return
        text = f"reloaded: {'; '.join(reloaded.changed) or 'nothing has changed'}"
        waiting = None
        if reloaded.after_restart:
            waiting = f"in force after a restart only: {', '.join(reloaded.after_restart)}"
            text += f"; {waiting}"
        self._troubles.note(PART, waiting)
        details: dict[str, object] = {
            "changed": list(reloaded.changed),
            "after_restart": list(reloaded.after_restart),
        }
        self._emit(Event(EventKind.CONFIG, text, details))
