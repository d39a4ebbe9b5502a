"""Asks the web server as a client on this machine would, byte by byte."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from tidegate.supervisor.web.access import Access
from tidegate.supervisor.web.server import Route, serve_web

OPEN = Access(frozenset({"gate-7"}))


async def exchange(request: bytes, port: int | None, unix: Path | None) -> tuple[str, bytes]:
    """Head and body of the answer; empty where the server hangs up."""
    if unix is not None:
        reader, writer = await asyncio.open_unix_connection(unix)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = b""
    with suppress(ConnectionError):
        answer = await reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    writer.close()
    return head.decode(), body


def ask(
    route: Route, *requests: bytes, access: Access = OPEN, unix: Path | None = None
) -> list[tuple[str, bytes]]:
    """The answers of a server with this route to requests one after the other."""

    async def served() -> list[tuple[str, bytes]]:
        async with AsyncExitStack() as closing:
            port = await serve_web(closing, unix, "127.0.0.1", 0 if unix is None else None, access, route)
            return [await exchange(request, port, unix) for request in requests]

    return asyncio.run(served())


def get(path: str, **headers: str) -> bytes:
    """A request for `path` on localhost; underscores in names of headers stand for hyphens."""
    named = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode()


def codes(answers: list[tuple[str, bytes]]) -> list[str]:
    """Their status codes."""
    return [head.split(" ", 2)[1] if head else "hung up" for head, _ in answers]
