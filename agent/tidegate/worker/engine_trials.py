"""Trying the engines of `auto` once requests are answered, in the time that is left."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from tidegate.engines.runtime.auto import AutoEngine
from tidegate.engines.runtime.choice import Choice
from tidegate.engines.runtime.resident import memory_is_short
from tidegate.errors import TidegateError
from tidegate.worker.served_model import ServedModel

log = logging.getLogger(__name__)

SETTLED_S = 10.0
"""After the first requests are let in: the supervisor's start, and the first switch, are over by then."""


async def tried(make: Callable[[], Choice]) -> Choice | None:
    """The choice that comes of the trials, made in a thread that holds nobody up, not even at the end.

    None while memory is short: a trial's process holds an engine beside the one that answers.
    """
    await asyncio.sleep(SETTLED_S)
    if memory_is_short():
        log.info("no engines are tried now, as memory is short; the next start looks again")
        return None
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Choice] = loop.create_future()

    def settle(choice: Choice | None, error: Exception | None) -> None:
        if made.cancelled():
            return
        if choice is None:
            made.set_exception(error or RuntimeError("no choice"))
        else:
            made.set_result(choice)

    def run() -> None:
        choice, error = None, None
        try:
            choice = make()
        except Exception as broken:
            log.exception("the engines could not be tried")
            error = broken
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, choice, error)

    # A daemon: the interpreter waits for others, and a trial's process takes half a minute.
    threading.Thread(target=run, name="engine-trials", daemon=True).start()
    return await made


class EngineTrials:
    """Tries engines for one model after the other, while requests are answered. One event loop's."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._trying: set[asyncio.Task[None]] = set()

    def begin(self, model: ServedModel, auto: AutoEngine, make: Callable[[], Choice]) -> None:
        """Try them for this model some time soon, and have it use what is found best."""
        trying = asyncio.create_task(self._try(model, auto, make))
        self._trying.add(trying)
        trying.add_done_callback(self._trying.discard)

    def cancel(self) -> None:
        """Use nothing any more that is found."""
        for each in self._trying:
            each.cancel()

    async def _try(self, model: ServedModel, auto: AutoEngine, make: Callable[[], Choice]) -> None:
        async with self._one_at_a_time:
            # What broke is in the log; the engines that answer go on.
            with suppress(TidegateError, OSError):
                if (choice := await tried(make)) is not None and not model.is_closed:
                    await model.use(auto, choice)
