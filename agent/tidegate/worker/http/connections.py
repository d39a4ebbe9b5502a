"""The open connections: how many there may be, how long each stage may last, and who goes when room is needed."""

import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol


class Stage(Enum):
    """Where a connection is between its opening and its end."""

    ARRIVED = auto()
    """Nothing has come yet."""
    HEAD = auto()
    """Part of a request's head has come."""
    BODY = auto()
    """The head is there, the body is coming."""
    ANSWERING = auto()
    """The request is whole, the answer is not out yet."""
    KEPT = auto()
    """Answered, and open for the next request."""
    CLOSING = auto()
    """Our side is done; what was written waits for the client to read it."""


HEAD_S = 15.0
BODY_S = 30.0
KEPT_S = 75.0
UNREAD_S = 20.0
DEADLINES_S = {
    Stage.ARRIVED: HEAD_S,
    Stage.HEAD: HEAD_S,
    Stage.BODY: BODY_S,
    Stage.KEPT: KEPT_S,
    Stage.CLOSING: UNREAD_S,
}
"""From the beginning of the stage, whatever trickles in meanwhile. An answer's time is the queue's matter."""

UNFINISHED_SHARE = 0.25
"""Of all places. Requests on their way may take this many before the next one to go is one of them."""
MAX_UNREAD_BYTES = 16 * 1024 * 1024
"""Of answers that clients don't read, all together."""


class Connection(Protocol):
    """What the register needs of a connection; `stage`, `since` and `unread_since` are the register's to set."""

    stage: Stage
    since: float
    unread_since: float | None

    @property
    def unread_bytes(self) -> int:
        """What was written and the client has not read."""

    def expire(self) -> None:
        """End it with an answer that says why, if one can be given."""

    def abort(self) -> None:
        """End it now."""


class Connections:
    """All connections of one event loop. Not thread-safe."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._open: set[Connection] = set()
        # Each in the order in which they began to wait.
        self._unfinished: OrderedDict[Connection, None] = OrderedDict()
        self._kept: OrderedDict[Connection, None] = OrderedDict()
        self._entering = 0

    def __len__(self) -> int:
        return len(self._open) + self._entering

    def can_enter(self) -> bool:
        """Whether another one fits, be it in the place of one that waits."""
        return len(self) < self.limit or bool(self._unfinished) or bool(self._kept)

    def enter(self) -> None:
        """Count one that is about to be set up; when all places are taken, one that waits goes for it."""
        if len(self) >= self.limit:
            self.evict()
        self._entering += 1

    def entered(self) -> None:
        """The one that was about to be set up is, or never will be."""
        self._entering -= 1

    def evict(self) -> None:
        """End the connection that is least worth keeping.

        Requests are whole within milliseconds, so where many are not, those that began first never will be;
        whoever has been answered before is likelier to ask again.
        """
        crowded = len(self._unfinished) > UNFINISHED_SHARE * self.limit
        waiting = self._unfinished if crowded or not self._kept else self._kept
        if (oldest := next(iter(waiting), None)) is not None:
            self.left(oldest)
            oldest.abort()

    def arrived(self, connection: Connection) -> None:
        """Take a connection in."""
        self._open.add(connection)
        self.moved(connection, Stage.ARRIVED)

    def moved(self, connection: Connection, stage: Stage) -> None:
        """A connection comes to another stage, or begins one anew."""
        if connection not in self._open:
            return
        connection.stage, connection.since = stage, self._clock()
        self._unfinished.pop(connection, None)
        self._kept.pop(connection, None)
        if stage is Stage.KEPT:
            self._kept[connection] = None
        elif stage is not Stage.ANSWERING:
            self._unfinished[connection] = None

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        self._unfinished.pop(connection, None)
        self._kept.pop(connection, None)

    def sweep(self) -> None:
        """End those that are past a deadline; to be called about once a second."""
        now, unread_bytes = self._clock(), 0
        for connection in [*self._open]:
            if unread := connection.unread_bytes:
                unread_bytes += unread
                connection.unread_since = connection.unread_since or now
                if now - connection.unread_since > UNREAD_S or unread_bytes > MAX_UNREAD_BYTES:
                    self.left(connection)
                    connection.abort()
                    continue
            else:
                connection.unread_since = None
            deadline_s = DEADLINES_S.get(connection.stage)
            if deadline_s is not None and now - connection.since > deadline_s:
                connection.expire()
