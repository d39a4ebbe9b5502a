"""Takes connections from a listening socket: as many as there is room for, and quietly when there is none."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from tidegate.worker.http.connections import Connections

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Taken in one go; the sockets that they push out are closed only after it."""
FULL_S = 0.05
"""Every connection is being answered: room comes within an answer's time."""
FAILED_S = 0.5
HANDSHAKE_S = 10.0
HANDSHAKES_SHARE = 0.25
"""Of all places, which the other sockets need as well: with more on their way the oldest goes."""


class Acceptor:
    """One listening socket's. asyncio's own server has no limit, and logs without end when files run out."""

    def __init__(
        self,
        listening: socket.socket,
        connections: Connections,
        make_protocol: Callable[[], asyncio.BufferedProtocol],
        loop: asyncio.AbstractEventLoop,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._connections = connections
        self._make_protocol = make_protocol
        self._loop = loop
        self._tls = tls
        self._entering: dict[asyncio.Task[None], None] = {}
        self._pause: asyncio.TimerHandle | None = None
        self.failing_since: float | None = None

    def start(self) -> None:
        """Take connections from now on."""
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def stop(self) -> None:
        """Take no more; the socket stays open."""
        self._loop.remove_reader(self._listening)
        if self._tls is not None:
            for entering in self._entering:
                entering.cancel()
        if self._pause is not None:
            self._pause.cancel()

    def _accept(self) -> None:
        for _ in range(min(AT_ONCE, 1 + self._connections.limit // 4)):
            if not self._connections.can_enter():
                self._wait(FULL_S)
                return
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("no connection can be taken: %s; trying on", error.strerror or error)
                self.failing_since = self.failing_since or self._loop.time()
                self._connections.evict()  # what it held is free at the next try
                self._wait(FAILED_S)
                return
            self.failing_since = None
            self._connections.enter()
            task = self._loop.create_task(self._enter(accepted))
            self._entering[task] = None
            task.add_done_callback(partial(self._entered, accepted))
            if self._tls is not None and len(self._entering) > 1 + HANDSHAKES_SHARE * self._connections.limit:
                oldest = next(iter(self._entering))
                del self._entering[oldest]
                oldest.cancel()

    async def _enter(self, accepted: socket.socket) -> None:
        try:
            timeout_s = None if self._tls is None else HANDSHAKE_S
            await self._loop.connect_accepted_socket(
                self._make_protocol, accepted, ssl=self._tls, ssl_handshake_timeout=timeout_s
            )
        except OSError as error:
            accepted.close()
            log.info("a client left as it came: %s", error.strerror or error)

    def _entered(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._entering.pop(task, None)
        self._connections.entered()
        if task.cancelled():
            accepted.close()  # perhaps before anything of it began

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(seconds, self.start)
