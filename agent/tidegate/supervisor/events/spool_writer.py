"""A thread in front of the spool: each row waits for the disk, and the control loop must not."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from tidegate.telemetry.spool import Spool

log = logging.getLogger(__name__)

MOST_WAITING = 1024
"""Rows that wait for a disk that does not answer; then the oldest is lost and counted."""


class SpoolWriter:
    """`put` returns at once; rows reach the spool in their order, and `wake` is called after each batch."""

    def __init__(self, spool: Spool, wake: Callable[[], None]) -> None:
        self._spool = spool
        self._wake = wake
        self._waiting: deque[tuple[str, Mapping[str, object], float]] = deque()
        self._changed = threading.Condition()
        self._writing = False
        self._closing = False
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    def put(self, topic: str, document: Mapping[str, object], at: float) -> None:
        """Have a document stored; `at` is Unix time in seconds."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append((topic, document, at))
            self._changed.notify_all()

    def take_lost(self) -> int:
        """How many rows were lost since the last call because the disk did not keep up."""
        with self._changed:
            lost, self._lost = self._lost, 0
        return lost

    def flush(self, deadline_s: float) -> bool:
        """Wait until every row is with the spool; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, deadline_s)

    def close(self, deadline_s: float) -> None:
        """Write what waits and end; what the disk has not taken by then is lost and logged."""
        until = time.monotonic() + deadline_s
        self.flush(deadline_s)
        with self._changed:
            self._closing = True
            if self._waiting:
                log.error(
                    "%d events and telemetry windows were not stored: the disk did not keep up", len(self._waiting)
                )
            self._changed.notify_all()
        self._thread.join(max(0.1, until - time.monotonic()))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                batch = tuple(self._waiting)
                self._waiting.clear()
                self._writing = True
            for topic, document, at in batch:
                try:
                    self._spool.put(topic, document, at)
                except Exception:
                    log.exception("%s: not stored", topic)
            self._wake()
