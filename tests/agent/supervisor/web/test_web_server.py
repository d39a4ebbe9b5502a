"""The web server: what is answered, what is refused, and that nobody can ask for another site."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from web_requests import OPEN, ask, codes, exchange, get

from tidegate.supervisor.web.access import Access
from tidegate.supervisor.web.message import EVENTS, PLAIN, Answer, Request
from tidegate.supervisor.web.server import WebError, serve_web

TOKEN = "0123456789abcdef"
GUARDED = Access(frozenset(), TOKEN)


def hello(request: Request) -> Answer:
    return Answer(PLAIN, f"hello {request.path} {dict(request.query)}".encode())


@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_either_socket_answers_and_says_what_is_wrong(over: str, tmp_path: Path) -> None:
    answers = ask(
        hello,
        get("/x?a=1&a=2"),
        b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        unix=tmp_path / "web.sock" if over == "unix" else None,
    )
    assert codes(answers[:5]) == ["200", "200", "405", "400", "400"]
    assert codes(answers[6:]) == ["400", "421"]
    # The rest of a long head may still be on its way when the connection goes: the answer is lost with it.
    assert codes(answers[5:6])[0] in {"431", "hung up"}
    assert answers[0][1] == b"hello /x {'a': '1, 2'}"
    assert answers[1][1] == b""
    assert not (tmp_path / "web.sock").exists()


def test_answers_keep_browsers_from_loading_and_framing() -> None:
    [(head, _)] = ask(hello, get("/"))
    assert "Content-Security-Policy: default-src 'self'; base-uri 'none'" in head
    assert "frame-ancestors 'none'" in head
    assert "X-Content-Type-Options: nosniff" in head
    assert "Cross-Origin-Resource-Policy: same-origin" in head
    assert "Access-Control" not in head


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:9464", "localhost.:1", "127.0.0.1:9464", "[::1]:9464", "192.168.1.5", "gate-7:9464"],
)
def test_our_names_are_ours(host: str) -> None:
    assert OPEN.refusal(Request("GET", "/", headers={"host": host})) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.example", "", "gate-70"],
)
def test_a_rebound_name_is_not(host: str) -> None:
    refused = OPEN.refusal(Request("GET", "/", headers={"host": host}))
    assert refused is not None
    assert refused.status == 421
    assert b"web.hosts" in refused.body if isinstance(refused.body, bytes) else False


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/status", {"origin": "http://evil.example"}, 403),
        ("/status", {"origin": "null"}, 403),
        ("/status", {"origin": "http://localhost:1"}, 403),
        ("/status", {"origin": "http://localhost"}, None),
        ("/status", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ("/status", {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ("/status", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, None),
        ("/status", {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, None),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, None),
        ("/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
        (
            "/status",
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
            403,
        ),
    ],
)
def test_other_sites_are_refused(path: str, headers: dict[str, str], code: int | None) -> None:
    refused = OPEN.refusal(Request("GET", path, headers={"host": "localhost", **headers}))
    assert (None if refused is None else refused.status) == code


@pytest.mark.parametrize(
    ("credentials", "shown"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer {TOKEN}", True),
        ("Basic " + base64.b64encode(f"anyone:{TOKEN}".encode()).decode(), True),
        ("Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode(), False),
        ("Basic !!!", False),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), False),
        (f"Bearer {TOKEN}x", False),
        (f"Digest {TOKEN}", False),
        ("Bearer", False),
        ("", False),
    ],
)
def test_a_token_opens_under_any_name(credentials: str, shown: bool) -> None:
    headers = {"host": "gate-7.example", "authorization": credentials}
    refused = GUARDED.refusal(Request("GET", "/", headers=headers))
    assert (refused is None) is shown
    assert refused is None or (refused.status, "WWW-Authenticate" in refused.headers) == (401, True)


def test_whoever_shows_a_token_still_asks_for_no_other_site() -> None:
    headers = {"host": "gate-7", "authorization": f"Bearer {TOKEN}", "origin": "http://evil.example"}
    refused = GUARDED.refusal(Request("GET", "/status", headers=headers))
    assert refused is not None
    assert refused.status == 403


def test_the_unix_socket_takes_no_token_but_keeps_the_rest(tmp_path: Path) -> None:
    rebound = b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    assert codes(ask(hello, get("/"), rebound, access=GUARDED, unix=tmp_path / "web.sock")) == ["200", "421"]
    assert codes(ask(hello, get("/"), access=GUARDED)) == ["401"]


def test_a_stream_comes_as_it_is_made_and_ends_with_its_reader() -> None:
    ended = asyncio.Event()

    async def ticks() -> AsyncGenerator[bytes, None]:
        try:
            for number in range(1000):
                yield f"data: {number}\n\n".encode()
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async def read_some() -> bytes:
        async with AsyncExitStack() as closing:
            port = await serve_web(closing, None, "127.0.0.1", 0, OPEN, lambda _: Answer(EVENTS, ticks()))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get("/events"))
            found = await asyncio.wait_for(reader.readuntil(b"data: 3"), 20)
            writer.close()
            await asyncio.wait_for(ended.wait(), 20)
            return found

    assert b"data: 0\n\n" in asyncio.run(read_some())


def test_an_address_that_is_taken_is_named() -> None:
    async def twice() -> None:
        async with AsyncExitStack() as closing:
            port = await serve_web(closing, None, "127.0.0.1", 0, OPEN, hello)
            with pytest.raises(WebError, match=rf"127\.0\.0\.1:{port}: .*set another web.tcp in agent.yaml"):
                await serve_web(closing, None, "127.0.0.1", port, OPEN, hello)

    asyncio.run(twice())


def test_many_readers_at_once_push_out_the_oldest() -> None:
    async def crowd() -> str:
        async with AsyncExitStack() as closing:
            port = await serve_web(closing, None, "127.0.0.1", 0, OPEN, hello)
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
            head, _ = await exchange(get("/"), port, None)
            for _, writer in silent:
                writer.close()
            return head

    assert asyncio.run(crowd()).startswith("HTTP/1.1 200")
