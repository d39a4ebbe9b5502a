"""Answers requests with 503 while no worker can: whoever asks learns when to come back instead of waiting."""

import asyncio
import json
import math
import socket
import ssl
import time
from contextlib import suppress
from functools import partial

from tidegate.listening.bearer import shows
from tidegate.listening.server_tls import server_context
from tidegate.messages import ANYBODY, TcpAccess

HEAD_S = 5.0
HEAD_BYTES = 16 << 10
LINGER_S = 1.0
AT_ONCE = 64


class Refusal:
    """Takes connections from listening sockets that stay open, between `start` and `stop`."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._reason = ""
        self._until = 0.0
        self._room = asyncio.Semaphore(AT_ONCE)

    async def start(
        self,
        listening: tuple[socket.socket, ...],
        reason: str,
        retry_after_s: float,
        access: TcpAccess = ANYBODY,
    ) -> None:
        """Refuse from now on, for this reason; a worker is tried again after `retry_after_s`.

        Over TCP the reason is told to whom `access` lets in.
        """
        self._reason, self._until = reason, time.monotonic() + retry_after_s
        if self._servers:
            return
        tls = None if access.tls is None else server_context(access.tls)
        for each in listening:
            token, context = (None, None) if each.family is socket.AF_UNIX else (access.token, tls)
            # A duplicate: closing the server must not close the socket that workers inherit.
            self._servers.append(await _serve(each.dup(), partial(self._answer, token), context))

    def stop(self) -> None:
        """Take no more connections; the sockets go to a worker."""
        for server in self._servers:
            server.close()
        self._servers = []

    async def _answer(self, token: str | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
                async with self._room, asyncio.timeout(HEAD_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._response(head, token))
                    await writer.drain()
                    if writer.can_write_eof():
                        writer.write_eof()
                    # A connection closed with unread bytes of a body is reset, and the answer with it.
                    async with asyncio.timeout(LINGER_S):
                        while await reader.read(HEAD_BYTES):
                            pass
        finally:
            writer.close()

    def _response(self, head: bytes, token: str | None) -> bytes:
        if head.startswith(b"GET /v2/health/live "):
            return _http("200 OK", {"live": True}, {})
        left_s = max(1, math.ceil(self._until - time.monotonic()))
        told = f": {self._reason}" if token is None or shows(token, _authorization(head)) else ""
        error = f"no worker can answer{told}; ask again in {left_s} s"
        return _http("503 Service Unavailable", {"error": error, "ready": False}, {"Retry-After": str(left_s)})


def _authorization(head: bytes) -> str:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == "authorization":
            return value.strip()
    return ""


async def _serve(
    listening: socket.socket, answer: "asyncio.streams._ClientConnectedCallback", tls: ssl.SSLContext | None
) -> asyncio.Server:
    loop = asyncio.get_running_loop()

    def protocol() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(HEAD_BYTES, loop)
        return asyncio.StreamReaderProtocol(reader, answer, loop)

    # Not start_unix_server: it takes the socket's file away when it closes, in newer Pythons.
    timeout_s = None if tls is None else HEAD_S
    return await loop.create_server(protocol, sock=listening, ssl=tls, ssl_handshake_timeout=timeout_s)


def _http(status: str, document: dict[str, object], headers: dict[str, str]) -> bytes:
    body = json.dumps(document).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in (fields | headers).items()), "", ""]
    return "\r\n".join(lines).encode() + body
