"""The HTTP server: uvicorn's, with connections that are counted and have deadlines."""

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from tidegate.worker.acceptor import Acceptor
from tidegate.worker.connections import KEPT_S, Connections
from tidegate.worker.http_connection import HttpConnection

TICKS_PER_SWEEP = 10
"""uvicorn ticks ten times a second."""
SHUTDOWN_S = 2
KEPT_OPEN_S = 1.0
"""At the end, for clients that keep a connection to ask once more."""
LOOK_S = 0.05
FAILING_S = 5.0
"""Files that ran out come back when somebody closes one; those that were lost don't."""


class Server(uvicorn.Server):
    """Serves `app` on inherited sockets; `each_second` is called about once a second."""

    def __init__(self, app: Starlette, connections: Connections, each_second: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_keep_alive=int(KEPT_S),
                timeout_graceful_shutdown=SHUTDOWN_S,
            )
        )
        self._connections = connections
        self._each_second = each_second
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. uvicorn itself gets no sockets: asyncio's server would take connections without a limit."""
        await super().startup(sockets=[])
        loop = asyncio.get_running_loop()

        def connection() -> HttpConnection:
            return HttpConnection(self.config, self.server_state, self.lifespan.state, self._connections)

        self._acceptors = [Acceptor(each, self._connections, connection, loop) for each in sockets or []]
        for acceptor in self._acceptors:
            acceptor.start()

    @property
    def takes_connections(self) -> bool:
        """Whether it does, apart from failures that may pass."""
        since = [each.failing_since for each in self._acceptors if each.failing_since is not None]
        return not since or asyncio.get_running_loop().time() - min(since) < FAILING_S

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections, and go on unless told to exit."""
        if counter % TICKS_PER_SWEEP == 0:
            self._connections.sweep()
            self._each_second()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and let those that are open end.

        A client that keeps its connection is told to take another one with its next answer: one that is closed
        under a request on its way costs that request.
        """
        for acceptor in self._acceptors:
            acceptor.stop()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        for _ in range(int(KEPT_OPEN_S / LOOK_S)):
            if not self.server_state.connections:
                break
            await asyncio.sleep(LOOK_S)
        await super().shutdown(sockets)
