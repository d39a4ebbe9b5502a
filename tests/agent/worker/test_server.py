"""The server on a real socket: requests that are no HTTP, that never end, or whose senders leave."""

import asyncio
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tidegate.worker.endpoint import Endpoint
from tidegate.worker.http import connections
from tidegate.worker.http.connections import DEADLINES_S, Connections, Stage
from tidegate.worker.http.server import Server

BODY = json.dumps(
    {"inputs": [{"name": "image", "shape": [1, 1, 8, 8], "datatype": "UINT8", "data": [8] * 64}]}
).encode()
HEAD = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\n"
GOOD = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LIMIT = 12


@dataclass
class Door:
    """Where the server listens, and its register."""

    path: Path
    register: Connections

    async def dial(self, *parts: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        return reader, writer

    async def ask(self, *parts: bytes) -> bytes:
        """All that is answered until the server closes, or says nothing for a while."""
        reader, writer = await self.dial(*parts)
        answered = b""
        try:
            while True:
                async with asyncio.timeout(5 if not answered else 0.5):
                    if not (piece := await reader.read(65536)):
                        break
                answered += piece
        except (TimeoutError, ConnectionError):
            pass
        writer.close()
        return answered


@asynccontextmanager
async def served(endpoint: Endpoint, directory: Path) -> AsyncIterator[Door]:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(directory / "door.sock"))
    listening.listen(64)
    register = Connections(LIMIT)
    server = Server(endpoint, register, lambda: None)
    serving = asyncio.create_task(server.serve([listening]))
    yield Door(directory / "door.sock", register)
    server.stop()
    async with asyncio.timeout(10):
        await serving


@pytest.fixture
def at_door(endpoint: Endpoint, tmp_path: Path) -> Callable[[Callable[[Door], Awaitable[None]]], None]:
    def run(visit: Callable[[Door], Awaitable[None]]) -> None:
        async def visited() -> None:
            async with served(endpoint, tmp_path) as door:
                await visit(door)

        asyncio.run(visited())

    return run


AtDoor = Callable[[Callable[[Door], Awaitable[None]]], None]
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "status", "says"),
    [
        ([HEAD + b"Content-Length: 9\r\nContent-Length: 5\r\n\r\n"], 400, "conflicting Content-Length"),
        ([HEAD + b"Content-Length: -5\r\n\r\n"], 400, "bad Content-Length"),
        ([HEAD + b"Content-Length: abc\r\n\r\n"], 400, "bad Content-Length"),
        ([HEAD + b"Content-Length: 8000000\r\n\r\n"], 413, "found 8000000 bytes"),
        ([HEAD + b"Content-Length: 8000000\r\nExpect: 100-continue\r\n\r\n"], 413, "found 8000000 bytes"),
        ([CHUNKED + b"zz\r\n"], 400, "illegal chunk header"),
        ([CHUNKED, b"3\r\n{{{\r\n", b"oh no\r\n"], 400, "illegal chunk header"),
        ([CHUNKED, *[b"10000\r\n" + b"[" * 65536 + b"\r\n"] * 6], 413, "largest request"),
        ([HEAD + b"Transfer-Encoding: gzip\r\n\r\n"], 501, "chunked"),
        ([b"GET /v2 HTTP/1.1\r\nHost: x\r\nA: ", *[b"a" * 6000] * 3], 431, "not a request"),
        ([b"\x16\x03\x01\x02\x00\x01\r\n\r\n"], 400, "not a request"),
        ([b"GET /v2/" + b"\xff" * 9000 + b" HTTP/1.1\r\n\r\n"], 400, "not a request"),
        ([HEAD + b"\r\n"], 400, "body: empty"),
        (
            [b"POST /no HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"],
            404,
            "nothing here",
        ),
    ],
)
def test_what_is_no_request_is_refused_in_the_protocols_form(
    at_door: AtDoor, parts: list[bytes], status: int, says: str
) -> None:
    async def visit(door: Door) -> None:
        answered = await door.ask(*parts)
        head, _, body = answered.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"100 Continue" not in answered
        message = json.loads(body)["error"]
        assert says in message
        assert len(message) < 400
        assert b"200 OK" in await door.ask(GOOD)

    at_door(visit)


@pytest.mark.parametrize(
    "parts",
    [
        [GOOD],
        [GOOD[:3], GOOD[3:30], GOOD[30:150], GOOD[150:]],
        [CHUNKED + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"],
        [HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY), BODY],
        [HEAD + b"Content-Length: 300000\r\n\r\n" + b"[" * 300000 + GOOD],
    ],
    ids=["whole", "in pieces", "chunked", "expecting", "after one too large"],
)
def test_good_requests_are_answered_however_they_come(at_door: AtDoor, parts: list[bytes]) -> None:
    async def visit(door: Door) -> None:
        assert b"200 OK" in await door.ask(*parts)

    at_door(visit)


def test_pipelined_requests_are_answered_in_turn(at_door: AtDoor) -> None:
    async def visit(door: Door) -> None:
        assert (await door.ask(GOOD * 5)).count(b"200 OK") == 5

    at_door(visit)


def test_the_same_head_again_may_have_another_body(at_door: AtDoor) -> None:
    async def visit(door: Door) -> None:
        broken = b"X" * len(BODY)
        same_head = GOOD.removesuffix(BODY)
        other_head = HEAD + b"A: b\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        answered = await door.ask(
            GOOD, same_head + broken, same_head, BODY, other_head + BODY, GOOD, b"junk\r\n\r\n"
        )
        statuses = [each[:3].decode() for each in answered.split(b"HTTP/1.1 ")[1:]]
        assert statuses == ["200", "400", "200", "200", "200", "400"], answered

    at_door(visit)


def test_a_client_that_asks_now_and_then_keeps_its_connection(
    at_door: AtDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DEADLINES_S, Stage.KEPT, 1.5)

    async def visit(door: Door) -> None:
        reader, writer = await door.dial()
        for _ in range(8):
            writer.write(GOOD)
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.partition(b":")[2]))
            await asyncio.sleep(0.4)
        writer.close()

    at_door(visit)


def test_a_client_that_only_listens_on_is_answered_and_closed(at_door: AtDoor) -> None:
    async def visit(door: Door) -> None:
        reader, writer = await door.dial()
        writer.write(GOOD)
        writer.write_eof()
        async with asyncio.timeout(5):
            assert b"200 OK" in await reader.read()
        writer.close()

    at_door(visit)


@pytest.mark.parametrize(
    ("stage", "parts", "answer"),
    [
        (Stage.ARRIVED, [b""], b""),
        (Stage.HEAD, [b"P"], b"408"),
        (Stage.HEAD, [GOOD[:60]], b"408"),
        (Stage.BODY, [GOOD[:-9]], b"408"),
        (Stage.KEPT, [GOOD], b"200"),
        (Stage.BODY, [HEAD + b"Content-Length: 8000000\r\n\r\n" + b"["], b"413"),
    ],
)
def test_no_stage_lasts_for_ever(
    at_door: AtDoor, monkeypatch: pytest.MonkeyPatch, stage: Stage, parts: list[bytes], answer: bytes
) -> None:
    monkeypatch.setitem(DEADLINES_S, stage, 0.3)

    async def visit(door: Door) -> None:
        reader, writer = await door.dial(*parts)
        async with asyncio.timeout(5):
            try:
                answered = await reader.read()
            except ConnectionError:  # of a body that was still coming
                answered = b" 413 "
        assert answered.partition(b"\r\n")[0].split(b" ")[1:2] == [answer] * bool(answer)
        writer.close()
        await asyncio.sleep(0.1)
        assert len(door.register) == 0

    at_door(visit)


def test_a_trickle_does_not_put_the_deadline_off(at_door: AtDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEADLINES_S, Stage.HEAD, 0.5)

    async def visit(door: Door) -> None:
        reader, writer = await door.dial()
        ended = asyncio.create_task(reader.read())
        async with asyncio.timeout(8):
            while not ended.done():
                writer.write(b"P")
                await asyncio.sleep(0.1)
        with suppress(ConnectionError):  # the last byte met a closed socket
            assert b"408" in ended.result()
        writer.close()

    at_door(visit)


def test_who_does_not_read_its_answers_is_cut_off(at_door: AtDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_S", 0.5)

    async def visit(door: Door) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.setblocking(False)
            await loop.sock_connect(deaf, str(door.path))
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(5):
                    while True:
                        await loop.sock_sendall(deaf, GOOD * 50)
            async with asyncio.timeout(5):
                while len(door.register):  # noqa: ASYNC110 - it has no event to wait for
                    await asyncio.sleep(0.05)
        assert b"200 OK" in await door.ask(GOOD)

    at_door(visit)


def test_more_connections_than_there_is_room_for_keep_nobody_out(at_door: AtDoor) -> None:
    async def visit(door: Door) -> None:
        held = []
        for place in range(10 * LIMIT):
            held.append(await door.dial([b"", b"POST /v2", GOOD[:-9], GOOD][place % 4]))
            assert len(door.register) <= LIMIT
            if place % 10 == 0:
                assert b"200 OK" in await door.ask(GOOD)
        for _, writer in held:
            writer.close()

    at_door(visit)


@pytest.mark.parametrize("sent", [b"P", GOOD[:60], GOOD[:-9], GOOD, GOOD * 3, CHUNKED + b"5\r\nab"])
def test_clients_that_leave_at_any_moment_are_no_news(
    at_door: AtDoor, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    async def visit(door: Door) -> None:
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as leaving:
                leaving.connect(str(door.path))
                leaving.sendall(sent)
                leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert len(door.register) == 0

    with caplog.at_level(logging.INFO):
        at_door(visit)
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.INFO]
    assert {record.getMessage() for record in caplog.records} <= {"a client left before its request was whole"}


def test_stopping_does_not_wait_for_requests_that_never_end(
    endpoint: Endpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def visit() -> None:
        async with served(endpoint, tmp_path) as door:
            held = [await door.dial(part) for part in (b"", b"POST", GOOD[:-9], GOOD)]
        for _, writer in held:
            writer.close()

    asyncio.run(visit())
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
