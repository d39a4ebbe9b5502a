"""The bodies of requests: up to a size, and not more at once than memory was set aside for."""

import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus

STALE_S = 2.0
"""A body that is this long on its way gives its memory up when it is needed."""
RETRY_AFTER_S = 1


class BodyRefused(Exception):  # noqa: N818 - the client's doing, not the program's
    """The body is not taken; `status` and `headers` are the answer's, and the message is for the client."""

    def __init__(self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


def too_large(found: str, max_bytes: int) -> BodyRefused:
    """The answer to who sends more than any request to a model needs."""
    allowed = f"the largest request to this model has {max_bytes} bytes"
    return BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body: found {found}, {allowed}")


class Bodies:
    """What all requests together hold in memory. One event loop's, not thread-safe."""

    def __init__(self, max_bytes: int, budget_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.budget_bytes = budget_bytes
        self.held_bytes = 0
        self.clock = clock
        self.unfinished: OrderedDict[HeldBody, None] = OrderedDict()

    def begin(self, give_up: Callable[[BodyRefused], None]) -> "HeldBody":
        """A body that begins to arrive; `give_up` is called if its memory is taken before it is whole."""
        held = HeldBody(self, give_up)
        self.unfinished[held] = None
        return held

    def make_room(self, more_bytes: int, asking: "HeldBody") -> None:
        """Return when `more_bytes` fit, at the cost of bodies that are long on their way. Raises BodyRefused."""
        for each in [*self.unfinished]:
            if self.held_bytes + more_bytes <= self.budget_bytes:
                return
            if each is not asking and self.clock() - each.since > STALE_S:
                each.release()
                each.give_up(self._full())
        if self.held_bytes + more_bytes > self.budget_bytes:
            raise self._full()

    def too_large(self, found: str) -> BodyRefused:
        """The answer to who sends more than any request needs."""
        return too_large(found, self.max_bytes)

    def _full(self) -> BodyRefused:
        text = (
            f"requests hold {self.held_bytes} bytes already, {self.budget_bytes} is what all may hold; ask again"
        )
        return BodyRefused(HTTPStatus.SERVICE_UNAVAILABLE, text, {"Retry-After": str(RETRY_AFTER_S)})


class HeldBody:
    """One request's share: of its body first, then of what was made of it."""

    def __init__(self, bodies: Bodies, give_up: Callable[[BodyRefused], None]) -> None:
        self.give_up = give_up
        self.since = bodies.clock()
        self._bodies = bodies
        self._bytes = 0

    def resize(self, size: int) -> None:
        """Hold `size` bytes from now on. Raises BodyRefused."""
        more = size - self._bytes
        if more > 0 and self._bodies.held_bytes + more > self._bodies.budget_bytes:
            self._bodies.make_room(more, self)
        self._bodies.held_bytes += more
        self._bytes = size

    def whole(self) -> None:
        """All of it is here: nobody takes its memory from it any more."""
        self._bodies.unfinished.pop(self, None)

    def release(self) -> None:
        """Hold nothing any more; the second time does nothing."""
        self.whole()
        self.resize(0)
