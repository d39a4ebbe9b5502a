"""Where events go: to the log, to whoever watches, and through the spool to the broker."""

import logging
from collections import deque
from collections.abc import Callable, Sequence

from agent.supervisor.events import Event
from agent.telemetry.spool import Spool
from agent.telemetry.topics import DeviceTopics

log = logging.getLogger("tidegate")

RECENT = 32

Observer = Callable[[Event], None]


class Journal:
    """Takes every event and document of this device; `wake` tells the link that the spool has new rows."""

    def __init__(
        self, topics: DeviceTopics, spool: Spool, wake: Callable[[], None], observers: Sequence[Observer] = ()
    ) -> None:
        self.recent: deque[Event] = deque(maxlen=RECENT)
        self._topics = topics
        self._spool = spool
        self._wake = wake
        self._observers = observers

    def emit(self, event: Event) -> None:
        """Record an event everywhere."""
        log.info("%s: %s", event.kind, event.text)
        self.recent.append(event)
        for observer in self._observers:
            observer(event)
        self._spool.put(self._topics.event, event.document(), event.at.timestamp())
        self._wake()

    def telemetry(self, document: dict[str, object], at: float) -> None:
        """Spool one telemetry window; `at` is Unix time in seconds."""
        self._spool.put(self._topics.telemetry, document, at)
        self._wake()
