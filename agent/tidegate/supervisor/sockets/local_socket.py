"""A Unix socket for tools on this machine: few conversations at once, none for ever, and room for the next one."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from tidegate.files import clear_way_for_socket

AT_ONCE = 16
"""The oldest conversation is ended for one more: whoever holds a connection without asking keeps nobody out."""
CONVERSATION_S = 5.0
QUEUE = 1024
"""Connections that may wait in the kernel; a client with a timeout is refused when it is full."""

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def limited(answer: Answer, conversation_s: float | None = None) -> Answer:
    """`answer` with few conversations at once and none for ever."""
    talking: list[asyncio.StreamWriter] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(talking) >= AT_ONCE:
            talking.pop(0).transport.abort()
        talking.append(writer)
        try:
            with suppress(ConnectionError):
                async with asyncio.timeout(CONVERSATION_S if conversation_s is None else conversation_s):
                    await answer(reader, writer)
            writer.close()
        except TimeoutError:
            writer.transport.abort()
        finally:
            if writer in talking:
                talking.remove(writer)

    return converse


async def serve_local(path: Path, answer: Answer, conversation_s: float | None = None) -> asyncio.Server:
    """Listen at `path` in the place of what was there, for owner and group; `answer` has one conversation."""
    converse = limited(answer, conversation_s)
    await asyncio.to_thread(clear_way_for_socket, path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    # asyncio takes as many connections in one go as its backlog has, before any of them can be ended.
    server = await asyncio.start_unix_server(converse, sock=listening, backlog=AT_ONCE)
    listening.listen(QUEUE)
    await asyncio.to_thread(path.chmod, 0o660)
    return server
