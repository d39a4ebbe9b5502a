"""The HTTP server: listening sockets, their connections, and an end that costs nobody a request."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from tidegate.listening.server_tls import server_context
from tidegate.messages import ANYBODY, TcpAccess
from tidegate.worker.http.acceptor import Acceptor
from tidegate.worker.http.connection import Application, HttpConnection, Serving
from tidegate.worker.http.connections import Connections

SWEEP_S = 1.0
"""How often the connections are looked after while there are any."""
UNASKED_S = 10.0
"""The same while there are none: an idle device is to sleep."""
SHUTDOWN_S = 2.0
KEPT_OPEN_S = 1.0
"""At the end, for clients that keep a connection to ask once more."""
LOOK_S = 0.05
FAILING_S = 5.0
"""Files that ran out come back when somebody closes one; those that were lost don't."""


class Server:
    """Serves `application` on inherited sockets.

    `each_second` is called about once a second, and less often while there are no connections.
    """

    def __init__(
        self, application: Application, connections: Connections, each_second: Callable[[], None]
    ) -> None:
        self._serving = Serving(application, connections)
        self._each_second = each_second
        self._acceptors: list[Acceptor] = []
        self._told_to_stop = asyncio.Event()
        self._connected = asyncio.Event()

    async def serve(self, listening: Sequence[socket.socket], access: TcpAccess = ANYBODY) -> None:
        """Serve until told to stop and all is answered; `access` is asked of those who connect over TCP."""
        loop = asyncio.get_running_loop()
        tls = None if access.tls is None else server_context(access.tls)
        for each in listening:
            asked, context = (ANYBODY, None) if each.family is socket.AF_UNIX else (access, tls)
            connection = partial(self._connection, asked.token)
            self._acceptors.append(Acceptor(each, self._serving.connections, connection, loop, context))
        for acceptor in self._acceptors:
            acceptor.start()
        sweeping = loop.create_task(self._sweep())
        try:
            await self._told_to_stop.wait()
            await self._end()
        finally:
            sweeping.cancel()

    def stop(self) -> None:
        """Let `serve` come to its end."""
        self._told_to_stop.set()

    @property
    def takes_connections(self) -> bool:
        """Whether it does, apart from failures that may pass."""
        since = [each.failing_since for each in self._acceptors if each.failing_since is not None]
        return not since or asyncio.get_running_loop().time() - min(since) < FAILING_S

    def _connection(self, token: str | None) -> HttpConnection:
        self._connected.set()
        return HttpConnection(self._serving, token)

    async def _sweep(self) -> None:
        while True:
            if not len(self._serving.connections):
                self._connected.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(UNASKED_S):
                        await self._connected.wait()
            await asyncio.sleep(SWEEP_S)
            self._serving.connections.sweep()
            self._each_second()

    async def _end(self) -> None:
        """Take no more connections, and let those that are open end.

        A client that keeps its connection is told to take another one with its next answer: one that is closed
        under a request on its way costs that request.
        """
        for acceptor in self._acceptors:
            acceptor.stop()
        self._serving.ends = True
        await self._until_closed(KEPT_OPEN_S)
        for connection in [*self._serving.open]:
            connection.shutdown()
        await self._until_closed(SHUTDOWN_S)
        for connection in [*self._serving.open]:
            connection.abort()
        for answering in [*self._serving.answering]:
            answering.cancel()

    async def _until_closed(self, seconds: float) -> None:
        for _ in range(int(seconds / LOOK_S)):
            if not self._serving.open:
                return
            await asyncio.sleep(LOOK_S)
