"""A time without a worker that the policy wants: what those are told who ask meanwhile, or that they wake it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rest:
    """Why there is no worker, and when to ask again. With `on_request` nobody is refused: it is called instead."""

    reason: str
    retry_after_s: float
    on_request: Callable[[], None] | None = None


@asynccontextmanager
async def connection_waits(
    listening: tuple[socket.socket, ...], on_request: Callable[[], None]
) -> AsyncIterator[None]:
    """Call `on_request` once when a connection waits on one of the sockets, which is left to wait."""
    loop = asyncio.get_running_loop()
    # By number: sockets that are replaced meanwhile are closed before this ends.
    descriptors = [each.fileno() for each in listening]

    def stop() -> None:
        for each in descriptors:
            loop.remove_reader(each)

    def waits() -> None:
        stop()
        on_request()

    for each in descriptors:
        loop.add_reader(each, waits)
    try:
        yield
    finally:
        stop()
