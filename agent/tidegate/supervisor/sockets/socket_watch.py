"""Brings the agent's sockets back when somebody deletes their files."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.sockets.kept_socket import KeptSocket
from tidegate.supervisor.sockets.listeners import ListenerError, Listeners

SOCKETS_S = 1.0
"""How often it is looked whether the sockets' files are still there."""

Renew = Callable[[tuple[socket.socket, ...], str], Awaitable[None]]


class SocketWatch:
    """`listeners` are those of now; `renew` hands new ones to a worker, with the reason."""

    def __init__(self, listeners: Listeners, renew: Renew, emit: Callable[[Event], None]) -> None:
        self.listeners = listeners
        self._renew = renew
        self._emit = emit
        self._told = ""

    async def run(self, kept: Sequence[KeptSocket]) -> None:
        """Look after the listeners and the `kept` sockets until cancelled."""
        while True:
            await asyncio.sleep(SOCKETS_S)
            # In one go: each call of a thread wakes an idle device several times.
            for each in await asyncio.to_thread(_gone, kept):
                await each.renew()
            await self._look()

    def close(self) -> None:
        """Close the listeners of now."""
        self.listeners.close()

    async def _look(self) -> None:
        try:
            restored = await asyncio.to_thread(self.listeners.restored)
        except ListenerError as error:
            if str(error) != self._told:
                self._told = str(error)
                self._emit(Event(EventKind.SOCKET, self._told, {}))
            return
        if restored is None:
            return
        before, self.listeners, self._told = self.listeners, restored, ""
        text = f"{restored.unix_path}: somebody deleted it; it is listened on again, by another worker"
        self._emit(Event(EventKind.SOCKET, text, {}))
        await self._renew(restored.sockets, "its socket's file had been deleted")
        before.sockets[0].close()


def _gone(kept: Sequence[KeptSocket]) -> list[KeptSocket]:
    return [each for each in kept if each.gone]
