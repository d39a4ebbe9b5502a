"""While no worker can answer, requests get 503 with Retry-After, and the sockets stay a worker's."""

import asyncio
import json
import socket
import ssl
from pathlib import Path

import pytest
from certificates import HAVE_OPENSSL, Authority

from tidegate.listening.server_tls import read_server_tls
from tidegate.messages import TcpAccess
from tidegate.supervisor.sockets.listeners import open_listeners
from tidegate.supervisor.worker.refusal import Refusal

REQUEST = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000


async def ask(path: Path, request: bytes = REQUEST) -> tuple[str, dict[str, str], dict[str, object]]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    head, body = answer.decode().split("\r\n\r\n", 1)
    status, *fields = head.split("\r\n")
    return status, dict(field.split(": ", 1) for field in fields), json.loads(body)


def test_a_request_is_refused_with_when_to_come_back(tmp_path: Path) -> None:
    async def refuse() -> None:
        listeners = open_listeners(tmp_path / "tidegate.sock", None)
        refusal = Refusal()
        await refusal.start(listeners.sockets, "it held too much", 30.0)
        status, fields, body = await ask(tmp_path / "tidegate.sock")
        assert status == "HTTP/1.1 503 Service Unavailable"
        assert fields["Retry-After"] == "30"
        assert "it held too much" in str(body["error"])
        alive, _, _ = await ask(tmp_path / "tidegate.sock", b"GET /v2/health/live HTTP/1.1\r\n\r\n")
        assert alive == "HTTP/1.1 200 OK"
        refusal.stop()
        await asyncio.sleep(0)
        assert (tmp_path / "tidegate.sock").is_socket()
        # Whoever comes now waits in the backlog for a worker.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as later:
            later.settimeout(5)
            later.connect(str(tmp_path / "tidegate.sock"))
            listeners.sockets[0].setblocking(True)
            accepted, _ = listeners.sockets[0].accept()
            accepted.close()
        listeners.close()

    asyncio.run(refuse())


def test_whoever_says_nothing_or_nonsense_keeps_nobody_out(tmp_path: Path) -> None:
    async def refuse() -> None:
        listeners = open_listeners(tmp_path / "tidegate.sock", None)
        refusal = Refusal()
        await refusal.start(listeners.sockets, "why", 30.0)
        silent = [await asyncio.open_unix_connection(tmp_path / "tidegate.sock") for _ in range(10)]
        _, nonsense = await asyncio.open_unix_connection(tmp_path / "tidegate.sock")
        nonsense.write(b"\0" * 100_000)
        status, _, _ = await ask(tmp_path / "tidegate.sock")
        assert "503" in status
        refusal.stop()
        for _, writer in silent:
            writer.close()
        nonsense.close()
        listeners.close()

    asyncio.run(refuse())


@pytest.mark.skipif(not HAVE_OPENSSL, reason="needs openssl")
def test_over_tcp_the_reason_is_for_who_shows_the_token(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    server = authority.signed("server")
    access = TcpAccess("0123456789abcdef", read_server_tls(server.certificate, server.key, None))
    trusting = ssl.create_default_context(cafile=authority.certificate)

    async def asked(port: int, header: str) -> str:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
        writer.write(f"GET /v2 HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        return answer.decode()

    async def refuse() -> None:
        listeners = open_listeners(tmp_path / "tidegate.sock", 0)
        assert listeners.tcp_port is not None
        refusal = Refusal()
        await refusal.start(listeners.sockets, "it held too much", 30.0, access)
        stranger = await asked(listeners.tcp_port, "")
        assert stranger.startswith("HTTP/1.1 503 ")
        assert "ask again in 30 s" in stranger
        assert "held too much" not in stranger
        assert "held too much" in await asked(listeners.tcp_port, "authorization: bearer 0123456789abcdef\r\n")
        assert "held too much" in str(await ask(tmp_path / "tidegate.sock")), "the socket asks for nothing"
        refusal.stop()
        listeners.close()

    asyncio.run(refuse())
