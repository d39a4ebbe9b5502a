"""HTTP for the status page and /metrics, on a Unix socket and on TCP; only reading is possible."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.supervisor.sockets import local_socket
from tidegate.supervisor.sockets.local_socket import CONVERSATION_S, limited, serve_local
from tidegate.supervisor.web.access import Access
from tidegate.supervisor.web.message import Answer, Request, said

if TYPE_CHECKING:
    import h11

STREAM_S = 600.0
"""A stream ends then, and browsers ask for the next one: none is kept for a reader that is gone without a word."""
_HEAD_BYTES = 8192
_SAFE = (
    ("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Connection", "close"),
)

Route = Callable[[Request], Answer]


class WebError(TidegateError):
    """The address can't be had; the message says what to change."""

    exit_code = EX_UNAVAILABLE


async def serve_web(
    closing: AsyncExitStack, unix: Path | None, address: str, port: int | None, access: Access, route: Route
) -> int | None:
    """Serve until `closing` ends; the TCP port, None without one. Raises WebError.

    The Unix socket needs no token: its file says who may.
    """
    conversations = _Conversations()
    try:
        if unix is not None:
            answer = conversations.held(_answer(replace(access, token=None), route))
            await closing.enter_async_context(await serve_local(unix, answer, STREAM_S))
            closing.callback(unix.unlink, missing_ok=True)
        if port is None:
            closing.push_async_callback(conversations.end)
            return None
        answer = limited(conversations.held(_answer(access, route)), STREAM_S)
        server = await asyncio.start_server(answer, address, port, limit=_HEAD_BYTES)
    except OSError as error:
        where = f"{unix}" if port is None else f"{address}:{port}"
        key = "web.unix" if port is None else "web.tcp"
        raise WebError(f"{where}: {error.strerror or error}; set another {key} in agent.yaml") from None
    await closing.enter_async_context(server)
    closing.push_async_callback(conversations.end)
    return int(server.sockets[0].getsockname()[1])


class _Conversations:
    """Those that go on, so that they end with the agent: streams would keep a closed server waiting for them."""

    def __init__(self) -> None:
        self._going_on: set[asyncio.Task[None]] = set()
        self._over = False

    def held(self, answer: local_socket.Answer) -> local_socket.Answer:
        """`answer`, which `end` ends."""

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._over:
                return
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - asyncio runs each conversation as a task
            self._going_on.add(task)
            try:
                await answer(reader, writer)
            except asyncio.CancelledError:
                # asyncio logs a traceback for a conversation that is cancelled.
                if not self._over:
                    raise
            finally:
                self._going_on.discard(task)

        return converse

    async def end(self) -> None:
        """End all of them."""
        self._over = True
        ending = tuple(self._going_on)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


def _answer(access: Access, route: Route) -> local_socket.Answer:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not at the top: nobody has looked yet.
        import h11  # noqa: PLC0415 - see above

        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        request = None
        try:
            async with asyncio.timeout(CONVERSATION_S):
                request = await _read(connection, reader)
            if request is None:
                return
            answer = access.refusal(request) or _allowed(request) or route(request)
        except h11.RemoteProtocolError as error:
            answer = said(HTTPStatus(error.error_status_hint), f"no request of HTTP/1.1: {error}")
        await _send(connection, writer, answer, with_body=request is None or request.method != "HEAD")

    return converse


def _allowed(request: Request) -> Answer | None:
    if request.method in {"GET", "HEAD"}:
        return None
    return said(HTTPStatus.METHOD_NOT_ALLOWED, "only reading is possible here: GET and HEAD", Allow="GET, HEAD")


async def _read(connection: "h11.Connection", reader: asyncio.StreamReader) -> Request | None:
    """The head of the request; None where the client hung up before it. Raises h11.RemoteProtocolError."""
    import h11  # noqa: PLC0415 - as above

    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(4096))
    if not isinstance(event, h11.Request):
        return None
    path, _, fields = event.target.decode("ascii").partition("?")
    query: dict[str, str] = {}
    for name, value in parse_qsl(fields):
        # Which of two is meant nobody knows: together they are refused.
        query[name] = f"{query[name]}, {value}" if name in query else value
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
    return Request(event.method.decode("ascii"), path, query, headers)


async def _send(
    connection: "h11.Connection", writer: asyncio.StreamWriter, answer: Answer, *, with_body: bool
) -> None:
    import h11  # noqa: PLC0415 - as above

    body = answer.body
    headers = [("Content-Type", answer.kind), ("Cache-Control", "no-store"), *_SAFE, *answer.headers.items()]
    if isinstance(body, bytes):
        headers.append(("Content-Length", str(len(body))))
    status = answer.status
    writer.write(connection.send(h11.Response(status_code=status, reason=status.phrase, headers=headers)) or b"")
    if with_body and isinstance(body, bytes):
        writer.write(connection.send(h11.Data(data=body)) or b"")
    elif with_body and not isinstance(body, bytes):
        async with aclosing(body) as parts:
            async for part in parts:
                writer.write(connection.send(h11.Data(data=part)) or b"")
                async with asyncio.timeout(CONVERSATION_S):
                    await writer.drain()
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    async with asyncio.timeout(CONVERSATION_S):
        await writer.drain()
