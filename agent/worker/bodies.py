"""The bodies of requests: up to a size, within a time, and not more at once than memory was set aside for."""

import asyncio
from collections import OrderedDict
from types import TracebackType

from starlette.requests import ClientDisconnect, Request

from agent.worker.connections import BODY_S

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

    def __init__(self, max_bytes: int, budget_bytes: int, deadline_s: float = BODY_S) -> None:
        self.max_bytes = max_bytes
        self.budget_bytes = budget_bytes
        self.held_bytes = 0
        self.deadline_s = deadline_s
        self.unfinished: OrderedDict[HeldBody, None] = OrderedDict()

    def hold(self) -> "HeldBody":
        """A share of the memory, for as long as the context lasts."""
        return HeldBody(self)

    def make_room(self, more_bytes: int, asking: "HeldBody") -> None:
        """Return when `more_bytes` fit, at the cost of bodies that are long on their way. Raises BodyRefused."""
        now = asyncio.get_running_loop().time()
        for stale in [each for each in self.unfinished if each is not asking and now - each.since > STALE_S]:
            if self.held_bytes + more_bytes <= self.budget_bytes:
                return
            stale.give_up(now)
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
        self._deadline: asyncio.Timeout | None = None
        self.since = 0.0

    def __enter__(self) -> "HeldBody":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bodies.unfinished.pop(self, None)
        self.resize(0)

    def resize(self, size: int) -> None:
        """Hold `size` bytes from now on. Raises BodyRefused."""
        more = size - self._bytes
        if more > 0 and self._bodies.held_bytes + more > self._bodies.budget_bytes:
            self._bodies.make_room(more, self)
        self._bodies.held_bytes += more
        self._bytes = size

    def give_up(self, now: float) -> None:
        """Let go of a body that is on its way."""
        self._given_up = True
        self._bodies.unfinished.pop(self, None)
        self.resize(0)
        if self._deadline is not None:
            self._deadline.reschedule(now)

    async def read(self, request: Request) -> bytes:
        """The whole body. Raises BodyRefused, and starlette's ClientDisconnect when there is nobody to answer."""
        self._check_head(request)
        bodies = self._bodies
        self.since = asyncio.get_running_loop().time()
        bodies.unfinished[self] = None
        try:
            async with asyncio.timeout(bodies.deadline_s) as self._deadline:
                body = await self._whole(request)
        except TimeoutError:
            if self._given_up:
                raise bodies.full() from None
            raise BodyRefused(408, f"the body was not whole after {bodies.deadline_s:g} s", CLOSE) from None
        finally:
            bodies.unfinished.pop(self, None)
        return body

    async def _whole(self, request: Request) -> bytes:
        body = bytearray()
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > self._bodies.max_bytes:
                raise self._too_large(f"more than {len(body) - 1} bytes", {})
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
        allowed = f"the largest request to this model has {self._bodies.max_bytes}"
        return BodyRefused(413, f"body: found {found}, {allowed}", headers)


def closing(request: Request) -> dict[str, str]:
    """Headers of an answer before the body: a client that was not told to go on may send it or another request."""
    return CLOSE if request.headers.get("expect", "").strip().lower() == "100-continue" else {}
