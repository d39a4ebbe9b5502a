"""Where events go: to the log, to whoever watches, and through the spool to the broker."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tidegate.shortened import shortened
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.events.folding import Folding
from tidegate.supervisor.events.spool_writer import SpoolWriter
from tidegate.telemetry.spool import Spool
from tidegate.telemetry.topics import DeviceTopics

log = logging.getLogger("tidegate")

RECENT = 32
TEXT_LIMIT = 4500
"""Characters of an event's text; brokers and terminals bound what they take."""

_TROUBLE = frozenset({EventKind.FAULT, EventKind.WORKER, EventKind.ROLLBACK})

Observer = Callable[[Event], None]


class Journal:
    """Takes every event and document of this device; `wake` tells the link that the spool has new rows.

    `emit` may be called on any thread and returns at once: a thread of its own writes to the disk. Everything else
    belongs to the event loop.
    """

    def __init__(
        self, topics: DeviceTopics, spool: Spool, wake: Callable[[], None], observers: Sequence[Observer] = ()
    ) -> None:
        self.recent: deque[Event] = deque(maxlen=RECENT)
        self._topics = topics
        self._writer = SpoolWriter(spool, wake)
        self._observers = list(observers)
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._folding = Folding()
        self._folding_lock = threading.Lock()

    def observe(self, observer: Observer) -> None:
        """Tell it of every event from now on, on the event loop."""
        self._observers.append(observer)

    def emit(self, event: Event) -> None:
        """Record an event everywhere, or count it if its source says the like too often."""
        with self._folding_lock:
            if not self._folding.admits(event, time.monotonic()):
                return
        if threading.get_ident() == self._loop_thread:
            self._record(event)
        else:
            self._loop.call_soon_threadsafe(self._record, event)

    def tell_folded(self, *, everything: bool = False) -> None:
        """Record what stands for the events that were counted, where it is time to."""
        with self._folding_lock:
            due = tuple(self._folding.due(time.monotonic(), everything=everything))
        for event in due:
            self._record(event)
        if lost := self._writer.take_lost():
            text = f"{lost} events and telemetry windows were not stored: the disk did not keep up"
            self._record(Event(EventKind.FAULT, text, {"lost": lost}))

    def telemetry(self, document: Mapping[str, object], at: float) -> None:
        """Spool one telemetry window; `at` is Unix time in seconds."""
        self._writer.put(self._topics.telemetry, document, at)

    def flush(self, deadline_s: float) -> bool:
        """Wait, on another thread than the loop's, until all is with the spool; False when that takes longer."""
        return self._writer.flush(deadline_s)

    def close(self, deadline_s: float) -> None:
        """Write what is left and end the thread."""
        self._writer.close(deadline_s)

    def _record(self, event: Event) -> None:
        event = replace(event, text=shortened(event.text, TEXT_LIMIT))
        log.log(logging.WARNING if event.kind in _TROUBLE else logging.INFO, "%s: %s", event.kind, event.text)
        self.recent.append(event)
        for observer in self._observers:
            observer(event)
        self._writer.put(self._topics.event, event.document(), event.at.timestamp())
