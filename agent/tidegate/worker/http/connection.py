"""One HTTP connection: heads are parsed by h11, bodies go from the socket to where they are used.

h11 copies a body several times and hands it on in pieces. A body whose length is announced is received into one
buffer instead; h11 sees heads and chunked bodies alone.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum, auto
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote

import h11

from tidegate.listening.loopback import is_loopback
from tidegate.worker.http.bodies import Bodies, BodyRefused, HeldBody
from tidegate.worker.http.connections import DEADLINES_S, Connections, Stage
from tidegate.worker.http.message import HERE, Body, Caller, Head, Response

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16 * 1024
SCRATCH_BYTES = 16 * 1024
"""For heads, and what comes with them; the rest of a body has a buffer of its own."""
LAST_BODY_S = 1.0
"""For a body that is on its way when the server stops."""
MAX_REASON_CHARACTERS = 200
"""h11 quotes the whole line that it could not take."""
HEAD_ENDS = b"\r\n\r\n"

Answer = Callable[[Head, Body, HeldBody], Response | Awaitable[Response]]


class Application(Protocol):
    """What is served."""

    bodies: Bodies

    def begin(self, head: Head, caller: Caller) -> Response | Answer:
        """What answers this request once its body is here, or the answer if the body need not be read."""

    def body_buffer(self, head: Head, size: int) -> memoryview:
        """Writable memory for a body of that size."""


class Serving:
    """What all connections of a server share."""

    def __init__(self, application: Application, connections: Connections) -> None:
        self.application = application
        self.connections = connections
        self.open: set[HttpConnection] = set()
        self.answering: set[asyncio.Task[None]] = set()
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        """Of one callback at a time."""
        self.ends = False
        """Whether each answer is its connection's last one."""


class _Phase(IntEnum):
    """Whole numbers, whose hashes Python need not compute in Python."""

    HEAD = auto()
    BODY = auto()
    CHUNKS = auto()
    ANSWERING = auto()
    REST_OF_BODY = auto()
    """It is answered already; what is still coming is dropped."""
    REST_OF_CHUNKS = auto()
    CLOSING = auto()


_STAGES = {
    _Phase.BODY: Stage.BODY,
    _Phase.CHUNKS: Stage.BODY,
    _Phase.REST_OF_BODY: Stage.BODY,
    _Phase.REST_OF_CHUNKS: Stage.BODY,
    _Phase.ANSWERING: Stage.ANSWERING,
    _Phase.CLOSING: Stage.CLOSING,
}


class HttpConnection(asyncio.BufferedProtocol):
    """Answers requests one after the other, tells the register its stage, and ends when the register says so."""

    transport: asyncio.Transport

    def __init__(self, serving: Serving, token: str | None) -> None:
        """`token` has to be shown by each request; None where nothing is asked."""
        self.stage = Stage.ARRIVED
        self.since = 0.0
        self.unread_since: float | None = None
        self._serving = serving
        self._application = serving.application
        self._token = token
        self._caller = HERE
        self._is_encrypted = False
        self._phase = _Phase.HEAD
        self._parser = _new_parser()
        self._head_text = b""
        self._last: tuple[bytes, _Heading] | None = None
        """The last request's head as it came, and what it says. Most clients send the same one again."""
        self._came: bytes | memoryview = b""
        """What was received and not taken yet."""
        self._is_paused = False
        self._cannot_write = False
        self._was_asked = False
        self._answered_at_once = 0
        self._head_began = False
        # Of the request that is on its way:
        self._head = Head("", "")
        self._answer: Answer | None = None
        self._keeps = True
        self._held: HeldBody | None = None
        self._body: memoryview | bytearray = bytearray()
        self._room = memoryview(b"")
        """The part of a body's buffer that is still empty."""
        self._rest_bytes = 0

    @property
    def unread_bytes(self) -> int:
        """What was written and the client has not read."""
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio types the base alone
        self.transport = transport
        self._caller = _caller(transport, self._token)
        self._is_encrypted = transport.get_extra_info("sslcontext") is not None
        self._serving.open.add(self)
        self._serving.connections.arrived(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End."""
        if self._phase in {_Phase.BODY, _Phase.CHUNKS}:
            log.info("a client left before its request was whole")
        self._phase = _Phase.CLOSING
        self._let_go()
        self._serving.open.discard(self)
        self._serving.connections.left(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the socket's next bytes go."""
        return self._room if self._phase is _Phase.BODY else self._serving.scratch

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        if self._phase is _Phase.BODY:
            self._filled(nbytes)
        else:
            fresh = self._serving.scratch[:nbytes]
            self._came = bytes(self._came) + bytes(fresh) if self._came else fresh
        self._advance()

    def eof_received(self) -> bool:
        """Answer a client that has said all it had to say and still listens."""
        if self._phase is not _Phase.ANSWERING or self._is_encrypted:
            return False  # asyncio ends TLS in both directions at once
        self._keeps = False
        return True

    def pause_writing(self) -> None:
        """The client does not read."""
        self._cannot_write = True

    def resume_writing(self) -> None:
        """The client reads again."""
        self._cannot_write = False
        self._advance()

    def expire(self) -> None:
        """End a stage that lasts too long."""
        if self.stage is Stage.HEAD or self._phase in {_Phase.BODY, _Phase.CHUNKS}:
            part, allowed_s = self.stage.name.lower(), DEADLINES_S[self.stage]
            text = f"the request's {part} was not whole after {allowed_s:.0f} s, which is what it may take"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, text)
            self._settle()
        elif self.stage in {Stage.ARRIVED, Stage.KEPT}:
            self._close()
        else:
            self.abort()

    def abort(self) -> None:
        """End now."""
        self.transport.abort()

    def shutdown(self) -> None:
        """End once what was asked is answered, without waiting long for what is still being asked."""
        if self.stage is Stage.BODY:
            asyncio.get_running_loop().call_later(LAST_BODY_S, self.abort)
        elif self._phase is _Phase.ANSWERING:
            self._keeps = False
        else:
            self._close()

    def _advance(self) -> None:
        """Take of what came as much as can be taken now."""
        before = self._answered_at_once
        while (
            self._came
            and not self._cannot_write
            and self._phase is not _Phase.ANSWERING
            and self._answered_at_once == before
        ):
            came, self._came = self._came, b""
            match self._phase:
                case _Phase.HEAD:
                    self._take_head(came)
                case _Phase.BODY:
                    size = min(len(self._room), len(came))
                    self._room[:size] = came[:size]
                    self._came = came[size:]
                    self._filled(size)
                case _Phase.CHUNKS | _Phase.REST_OF_CHUNKS:
                    self._parse(came)
                case _Phase.REST_OF_BODY:
                    self._drop(came)
                case _Phase.CLOSING:
                    pass
        self._came = bytes(self._came)  # the scratch is another connection's next
        if not self.transport.is_closing() and bool(self._came) is not self._is_paused:
            self._is_paused = bool(self._came)
            (self.transport.pause_reading if self._is_paused else self.transport.resume_reading)()
        self._settle()
        if self._came and self._answered_at_once != before:
            asyncio.get_running_loop().call_soon(self._advance)  # others have their turn between two answers

    def _take_head(self, came: bytes | memoryview) -> None:
        if self._head_began:
            self._parse(came)
            return
        head = bytes(came)
        end = head.find(HEAD_ENDS)
        if end < 0 or end > MAX_HEAD_BYTES:
            self._parse(came)
            return
        head, behind = head[: end + len(HEAD_ENDS)], came[end + len(HEAD_ENDS) :]
        if self._last is not None and self._last[0] == head:
            self._begin(self._last[1], behind)
            return
        self._head_text = head
        self._parse(head, behind)  # h11 need not copy what follows

    def _parse(self, came: bytes | memoryview, behind: bytes | memoryview = b"") -> None:
        """Feed h11; `behind` is what comes after it."""
        self._head_began = True
        try:
            self._parser.receive_data(bytes(came))
            while (event := self._parser.next_event()) is not h11.NEED_DATA:
                match event:
                    case h11.Request():
                        heading = _heading(event)
                        if not heading.is_chunked:
                            self._last = (self._head_text, heading) if self._head_text else None
                            self._begin(heading, self._parser.trailing_data[0] or behind)
                            return
                        self._begin(heading, b"")
                        if behind:
                            self._parser.receive_data(bytes(behind))
                            behind = b""
                    case h11.Data():
                        self._take_chunk(event.data)
                    case h11.EndOfMessage():
                        self._came = self._parser.trailing_data[0]
                        self._next_head() if self._phase is _Phase.REST_OF_CHUNKS else self._whole()
                        return
                if self._phase is _Phase.CLOSING:
                    return
        except h11.RemoteProtocolError as error:
            reason = str(error)[:MAX_REASON_CHARACTERS]
            self._refuse(HTTPStatus(error.error_status_hint), f"not a request in HTTP/1.1: {reason}")

    def _begin(self, heading: "_Heading", rest: bytes | memoryview) -> None:
        """Begin with a request whose head is whole; `rest` is what came behind it, apart from chunks."""
        self._head = head = heading.head
        self._was_asked = True
        self._keeps = heading.keeps
        is_chunked, length = heading.is_chunked, heading.length
        begun = self._begun(head, length)
        if isinstance(begun, Response):
            has_body = is_chunked or length > 0
            if has_body and head.expects_continue:
                self._keeps = False  # it may send the body or another request
            self._respond(begun)
            if self._phase is _Phase.CLOSING:
                return
            self._phase = _Phase.REST_OF_CHUNKS if is_chunked else _Phase.REST_OF_BODY
            self._rest_bytes = length
            if not is_chunked:
                self._drop(rest)
            return
        self._answer = begun
        self._held = self._application.bodies.begin(self._refuse_body)
        if head.expects_continue and not rest:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if is_chunked:
            self._phase, self._body = _Phase.CHUNKS, bytearray()
            return
        self._came = rest
        self._body = self._room = self._application.body_buffer(head, length)
        if length:
            self._phase = _Phase.BODY
        else:
            self._whole()

    def _begun(self, head: Head, length: int) -> Response | Answer:
        begun = self._application.begin(head, self._caller)
        if isinstance(begun, Response) or length <= self._application.bodies.max_bytes:
            return begun
        return _refused(self._application.bodies.too_large(f"{length} bytes"))

    def _filled(self, size: int) -> None:
        self._room = self._room[size:]
        if self._holds(len(self._body) - len(self._room)) and not self._room:
            self._whole()

    def _take_chunk(self, chunk: bytes) -> None:
        if self._phase is _Phase.REST_OF_CHUNKS:
            return
        size = len(self._body) + len(chunk)
        if size > self._application.bodies.max_bytes:
            self._refuse_body(self._application.bodies.too_large("more"))
        elif self._holds(size):
            assert isinstance(self._body, bytearray)  # noqa: S101 - a body in chunks has no buffer of its length
            self._body += chunk

    def _holds(self, size: int) -> bool:
        """Whether there is memory for so much of the body; if not, it is refused."""
        assert self._held is not None  # noqa: S101 - begun with the body
        try:
            self._held.resize(size)
        except BodyRefused as refusal:
            self._refuse_body(refusal)
            return False
        return True

    def _refuse_body(self, refusal: BodyRefused) -> None:
        """Answer before the body is whole, and drop the rest."""
        self._let_go()
        was_chunked = self._phase is _Phase.CHUNKS
        self._rest_bytes = len(self._room)
        self._respond(_refused(refusal))
        if self._phase is not _Phase.CLOSING:
            self._phase = _Phase.REST_OF_CHUNKS if was_chunked else _Phase.REST_OF_BODY
            if not was_chunked:
                self._drop(self._came)
        self._settle()

    def _drop(self, came: bytes | memoryview) -> None:
        size = min(self._rest_bytes, len(came))
        self._rest_bytes -= size
        self._came = came[size:]
        if not self._rest_bytes:
            self._next_head()

    def _whole(self) -> None:
        """All of the request is here."""
        assert self._held is not None  # noqa: S101 - begun with the body
        assert self._answer is not None  # noqa: S101 - begun with the body
        self._held.whole()
        self._phase = _Phase.ANSWERING
        held, self._held = self._held, None
        answer = self._answer(self._head, self._body, held)
        self._body, self._room = bytearray(), memoryview(b"")
        if isinstance(answer, Response):
            held.release()
            self._answered_at_once += 1
            self._serving.connections.moved(self, Stage.ANSWERING)
            self._write(answer)
            return
        task = asyncio.ensure_future(self._answered(answer, held))
        self._serving.answering.add(task)
        task.add_done_callback(self._serving.answering.discard)

    async def _answered(self, answer: Awaitable[Response], held: HeldBody) -> None:
        try:
            response = await answer
        finally:
            held.release()
        if self._phase is _Phase.ANSWERING:
            self._write(response)
            self._advance()

    def _write(self, response: Response) -> None:
        """Answer a whole request, and go on with the next one."""
        self._respond(response)
        if self._phase is _Phase.ANSWERING:
            self._next_head()

    def _respond(self, response: Response) -> None:
        """Write an answer, and close if it is the last one."""
        keeps = self._keeps and not self._serving.ends
        size = sum(map(len, response.body))
        lines = [f"HTTP/1.1 {response.status} {response.status.phrase}", f"content-length: {size}"]
        lines += [f"{name.lower()}: {value}" for name, value in response.headers.items()]
        if not keeps:
            lines.append("connection: close")
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        self.transport.write(b"".join((head, *(() if self._head.method == "HEAD" else response.body))))
        if not keeps:
            self._close()

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer what can't become a request any more, and close."""
        self._let_go()
        self._keeps = False
        if self._phase not in {_Phase.REST_OF_BODY, _Phase.REST_OF_CHUNKS, _Phase.CLOSING}:
            self._head = Head("", "")
            self._respond(_error(status, message))
        else:
            self._close()

    def _next_head(self) -> None:
        self._phase = _Phase.HEAD
        if self._head_began:
            self._head_began, self._head_text = False, b""
            self._parser = _new_parser()
        self._keeps = True

    def _close(self) -> None:
        self._phase = _Phase.CLOSING
        self._came = b""
        self.transport.close()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None
        self._body = bytearray()

    def _settle(self) -> None:
        stage = self._stage_now()
        if stage is not self.stage:
            self._serving.connections.moved(self, stage)

    def _stage_now(self) -> Stage:
        if self.transport.is_closing():
            return Stage.CLOSING
        if (stage := _STAGES.get(self._phase)) is not None:
            return stage
        if self._head_began:
            return Stage.HEAD
        return Stage.KEPT if self._was_asked else Stage.ARRIVED


@dataclass(frozen=True, slots=True)
class _Heading:
    """What a request's head says to the connection; `length` is the body's in bytes, 0 for one in chunks."""

    head: Head
    keeps: bool
    is_chunked: bool
    length: int


def _heading(request: h11.Request) -> _Heading:
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path = unquote(request.target.partition(b"?")[0].decode("latin-1"))
    is_chunked = "transfer-encoding" in headers
    return _Heading(
        head=Head(request.method.decode("ascii"), path, headers),
        keeps=request.http_version == b"1.1" and "close" not in headers.get("connection", "").lower(),
        is_chunked=is_chunked,
        length=0 if is_chunked else int(headers.get("content-length", "0")),
    )


def _caller(transport: asyncio.Transport, token: str | None) -> Caller:
    peer = transport.get_extra_info("peername")
    return Caller(is_local=is_loopback(peer[0]), token=token) if isinstance(peer, tuple) else HERE


def _new_parser() -> h11.Connection:
    return h11.Connection(h11.SERVER, MAX_HEAD_BYTES)


def _refused(refusal: BodyRefused) -> Response:
    return _error(refusal.status, str(refusal), refusal.headers)


def _error(status: HTTPStatus, message: str, headers: dict[str, Any] | None = None) -> Response:
    body = json.dumps({"error": message}).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, (body,))
