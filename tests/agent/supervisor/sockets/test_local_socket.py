"""Sockets for tools: whoever connects and says nothing keeps nobody out, and not for long."""

import asyncio
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tidegate.supervisor.sockets import local_socket
from tidegate.supervisor.sockets.local_socket import AT_ONCE, serve_local

STRANGERS = 300


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    await writer.drain()


async def ask(path: Path) -> bytes:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"hello\n")
        answer = await reader.read()
        writer.close()
    return answer


def strangers(path: Path) -> list[socket.socket]:
    dialled = [socket.socket(socket.AF_UNIX) for _ in range(STRANGERS)]
    for each in dialled:
        each.settimeout(5)
        each.connect(str(path))
    return dialled


def test_strangers_keep_nobody_out(tmp_path: Path) -> None:
    async def visit() -> None:
        path = tmp_path / "tool.sock"
        server = await serve_local(path, echo)
        held = await asyncio.to_thread(strangers, path)
        for _ in range(10):
            assert await ask(path) == b"hello\n"
        ended = 0
        for each in held:
            each.settimeout(0.01)
            with suppress(TimeoutError):
                ended += await asyncio.to_thread(each.recv, 1) == b""
            each.close()
        assert ended >= STRANGERS - AT_ONCE
        server.close()

    asyncio.run(visit())


def test_no_conversation_lasts_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_socket, "CONVERSATION_S", 0.2)

    async def visit() -> None:
        path = tmp_path / "tool.sock"
        server = await serve_local(path, echo)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"no end")
        began = time.monotonic()
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        assert time.monotonic() - began >= 0.15
        writer.close()
        server.close()

    asyncio.run(visit())


def test_a_file_left_behind_is_replaced(tmp_path: Path) -> None:
    async def visit() -> None:
        path = tmp_path / "tool.sock"
        path.touch()
        server = await serve_local(path, echo)
        assert path.stat().st_mode & 0o777 == 0o660
        assert await ask(path) == b"hello\n"
        server.close()

    asyncio.run(visit())
