"""Brings the agent's sockets back when somebody deletes their files."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.sockets.kept_socket import KeptSocket
from tidegate.supervisor.sockets.listeners import ListenerError, Listeners

Renew = Callable[[tuple[socket.socket, ...], socket.socket | None, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Missing:
    """Kept sockets whose files are gone; listeners and Frigate's anew where theirs are, or why that can't be."""

    kept: tuple[KeptSocket, ...]
    restored: Listeners | ListenerError | None
    frigate: Listeners | ListenerError | None = None


class SocketWatch:
    """`listeners` and `frigate` are those of now; `renew` hands new ones to a worker, with the reason."""

    def __init__(
        self, listeners: Listeners, frigate: Listeners | None, renew: Renew, emit: Callable[[Event], None]
    ) -> None:
        self.listeners = listeners
        self.frigate = frigate
        self._renew = renew
        self._emit = emit
        self._told = ""

    def close(self) -> None:
        """Close the listeners of now."""
        self.listeners.close()
        if self.frigate is not None:
            self.frigate.close()

    def look(self, kept: Sequence[KeptSocket]) -> Missing:
        """What is missing of the listeners and of the `kept` sockets; may wait for a disk."""
        gone = tuple(each for each in kept if each.gone)
        return Missing(gone, _restored(self.listeners), None if self.frigate is None else _restored(self.frigate))

    async def mend(self, missing: Missing) -> None:
        """Bring back what `look` has missed."""
        for each in missing.kept:
            await each.renew()
        failures = [each for each in (missing.restored, missing.frigate) if isinstance(each, ListenerError)]
        if failures and (told := "; ".join(map(str, failures))) != self._told:
            self._told = told
            self._emit(Event(EventKind.SOCKET, told, {}))
        restored = [each for each in (missing.restored, missing.frigate) if isinstance(each, Listeners)]
        if not restored:
            return
        left = []
        if isinstance(missing.restored, Listeners):
            left.append(self.listeners)
            self.listeners = missing.restored
        if isinstance(missing.frigate, Listeners) and self.frigate is not None:
            left.append(self.frigate)
            self.frigate = missing.frigate
        if not failures:
            self._told = ""
        for anew in restored:
            text = f"{anew.unix_path}: somebody deleted it; it is listened on again, by another worker"
            self._emit(Event(EventKind.SOCKET, text, {}))
        frigate = None if self.frigate is None else self.frigate.sockets[0]
        await self._renew(self.listeners.sockets, frigate, "its socket's file had been deleted")
        for before in left:
            before.sockets[0].close()


def _restored(listeners: Listeners) -> Listeners | ListenerError | None:
    try:
        return listeners.restored()
    except ListenerError as error:
        return error
