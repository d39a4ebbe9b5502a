"""The bodies of requests: up to a size, within a time, and not more at once than memory was set aside for."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType

from starlette.requests import ClientDisconnect, Request

STALE_S = 2.0
"""A body that is this long on its way gives its memory up when it is needed."""
RETRY_AFTER_S = 1
CLOSE = {"Connection": "close"}


class BodyRefused(Exception):  # noqa: N818 - the client's doing, not the program's
    """The body is not taken; `status` and `headers` are the answer's, and the message is for the client."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class Bodies:
    """What all requests together hold in memory. One event loop's, not thread-safe."""

    def __init__(self, max_bytes: int, budget_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.budget_bytes = budget_bytes
        self.held_bytes = 0
        self.clock = clock
        self.unfinished: OrderedDict[HeldBody, None] = OrderedDict()

    def hold(self) -> "HeldBody":
        """A share of the memory, for as long as the context lasts."""
        return HeldBody(self)

    def make_room(self, more_bytes: int, asking: "HeldBody") -> None:
        """Return when `more_bytes` fit, at the cost of bodies that are long on their way. Raises BodyRefused."""
        for each in [*self.unfinished]:
            if self.held_bytes + more_bytes <= self.budget_bytes:
                return
            if each is not asking and self.clock() - each.since > STALE_S:
                del self.unfinished[each]
                each.give_up()
        if self.held_bytes + more_bytes > self.budget_bytes:
            raise self.full()

    def full(self) -> BodyRefused:
        """The answer to who finds no room."""
        text = (
            f"requests hold {self.held_bytes} bytes already, {self.budget_bytes} is what all may hold; ask again"
        )
        return BodyRefused(503, text, {"Retry-After": str(RETRY_AFTER_S)})


class HeldBody:
    """One request's share: of its body first, then of what was made of it."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._bytes = 0
        self._given_up = False
        self._reading: asyncio.Task[None] | None = None
        self.since = 0.0

    def __enter__(self) -> "HeldBody":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.resize(0)

    def resize(self, size: int) -> None:
        """Hold `size` bytes from now on. Raises BodyRefused."""
        more = size - self._bytes
        if more > 0 and self._bodies.held_bytes + more > self._bodies.budget_bytes:
            self._bodies.make_room(more, self)
        self._bodies.held_bytes += more
        self._bytes = size

    def give_up(self) -> None:
        """Let go of a body that is on its way."""
        self._given_up = True
        self.resize(0)
        if self._reading is not None:
            self._reading.cancel()

    async def read(self, request: Request) -> bytes:
        """The whole body. Raises BodyRefused, and starlette's ClientDisconnect when there is nobody to answer.

        How long it may take is the connection's matter.
        """
        self._check_head(request)
        unfinished = self._bodies.unfinished
        self.since, self._reading = self._bodies.clock(), asyncio.current_task()
        unfinished[self] = None
        try:
            return await self._whole(request)
        except asyncio.CancelledError:
            if not self._given_up or self._reading is None:
                raise
            self._reading.uncancel()
            raise self._bodies.full() from None
        finally:
            unfinished.pop(self, None)

    async def _whole(self, request: Request) -> bytes:
        body = bytearray()
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > self._bodies.max_bytes:
                raise self._too_large("more", {})
            self.resize(len(body))
            if not message.get("more_body", False):
                return bytes(body)

    def _check_head(self, request: Request) -> None:
        """Refuse by the headers alone what need not be read."""
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            text = f"Content-Encoding: found {coding[:40]!r}; bodies are taken as they are, without a coding"
            raise BodyRefused(415, text, {"Accept-Encoding": "identity", **closing(request)})
        length = request.headers.get("content-length")
        if length is None:
            return
        if not (length.isascii() and length.isdigit()):
            raise BodyRefused(
                400, f"Content-Length: found {length[:40]!r}, a number of bytes belongs there", CLOSE
            )
        if len(length) > 15 or int(length) > self._bodies.max_bytes:
            raise self._too_large(f"{length[:20]} bytes", closing(request))

    def _too_large(self, found: str, headers: dict[str, str]) -> BodyRefused:
        allowed = f"the largest request to this model has {self._bodies.max_bytes} bytes"
        return BodyRefused(413, f"body: found {found}, {allowed}", headers)


def closing(request: Request) -> dict[str, str]:
    """Headers of an answer before the body: a client that was not told to go on may send it or another request."""
    return CLOSE if request.headers.get("expect", "").strip().lower() == "100-continue" else {}
