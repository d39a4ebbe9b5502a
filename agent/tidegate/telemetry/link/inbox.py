"""Policies on their way in: acknowledged to the broker only when the agent has them on disk."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.telemetry.heard import Heard
from tidegate.telemetry.link.backoff import Backoff

logger = logging.getLogger(__name__)

BURST_S = 10.0
"""How much pause a topic may owe and still have its next policy taken at once."""
PAUSE_FACTOR = 4.0
MIN_PAUSE_S, MAX_PAUSE_S = 0.25, 10.0
"""After a policy its topic pauses for PAUSE_FACTOR times as long as storing it took: a long text takes seconds."""

OnPolicy = Callable[[str, bytes], None]
Acknowledge = Callable[[int], None]


@dataclass(slots=True)
class _Unstored:
    payload: bytes
    mid: int | None
    at: float
    backoff: Backoff = field(default_factory=lambda: Backoff(base_s=2.0, cap_s=60.0))


class Inbox:
    """Hands policies to `on_policy` and acknowledges after it returned; one that raised is handed over again.

    The broker would repeat an unacknowledged policy only after a new connection, so the repeating is done here.
    A newer policy on the same topic replaces the one that waits: it is the desired state, not a queue. So a topic
    that somebody floods has its newest policy tried now and then, and holds nothing else up.
    """

    def __init__(self, on_policy: OnPolicy, acknowledge: Acknowledge, counts: Heard | None = None) -> None:
        self._on_policy = on_policy
        self._acknowledge = acknowledge
        self._counts = counts or Heard()
        self._unstored: dict[str, _Unstored] = {}
        # When each topic will have paused enough.
        self._paused_until: dict[str, float] = {}

    def receive(self, topic: str, payload: bytes, mid: int | None) -> None:
        """A message arrived; `mid` is None for QoS 0. An empty payload clears the topic."""
        overtaken = self._unstored.pop(topic, None)
        if overtaken is not None:
            self._counts.note("push", "overtaken")
            if overtaken.mid is not None:
                self._acknowledge(overtaken.mid)
        if not payload:
            self._counts.note("push", "cleared")
            if mid is not None:
                self._acknowledge(mid)
            return
        now = time.monotonic()
        waiting = _Unstored(payload, mid, max(now, self._paused_until.get(topic, now) - BURST_S))
        if waiting.at > now:
            self._unstored[topic] = waiting
            return
        self._deliver(topic, waiting)

    def retry(self, now: float) -> None:
        """Hand over again what is due. `now` is monotonic."""
        due = [(topic, waiting) for topic, waiting in self._unstored.items() if waiting.at <= now]
        for topic, waiting in due:
            del self._unstored[topic]
            self._deliver(topic, waiting)

    @property
    def resting(self) -> bool:
        """Whether nothing waits to be handed over again."""
        return not self._unstored

    def connection_lost(self) -> None:
        """The broker will send again what was not acknowledged, under packet ids of the new connection."""
        self._unstored.clear()

    def _deliver(self, topic: str, waiting: _Unstored) -> None:
        began = time.monotonic()
        try:
            self._on_policy(topic, waiting.payload)
        except Exception as error:  # noqa: BLE001 - the broker keeps the policy, whatever it was
            self._counts.note("push", "put off")
            delay_s = waiting.backoff.failed()
            logger.warning("policy on %s was not taken: %r; next attempt in %.0f s", topic, error, delay_s)
            waiting.at = time.monotonic() + delay_s
            self._unstored[topic] = waiting
            return
        self._counts.note("push", "judged")
        now = time.monotonic()
        pause_s = min(max(MIN_PAUSE_S, PAUSE_FACTOR * (now - began)), MAX_PAUSE_S)
        self._paused_until[topic] = max(now, self._paused_until.get(topic, now)) + pause_s
        if waiting.mid is not None:
            self._acknowledge(waiting.mid)
