"""Policies on their way in: acknowledged to the broker only when the agent has them on disk."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate.telemetry.link.backoff import Backoff

logger = logging.getLogger(__name__)

AHEAD_S = 10.0
"""How far a topic may be behind with its rest and still have its next policy taken at once."""
REST = 4.0
LEAST_REST_S, MOST_REST_S = 0.25, 10.0
"""After a policy its topic rests for REST times as long as that took, within these: a long text takes seconds."""

OnPolicy = Callable[[str, bytes], None]
Acknowledge = Callable[[int], None]


@dataclass(slots=True)
class _Unwritten:
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

    def __init__(self, on_policy: OnPolicy, acknowledge: Acknowledge) -> None:
        self._on_policy = on_policy
        self._acknowledge = acknowledge
        self._unwritten: dict[str, _Unwritten] = {}
        # When each topic will have had all its rest.
        self._rested_at: dict[str, float] = {}

    def receive(self, topic: str, payload: bytes, mid: int | None) -> None:
        """A message arrived; `mid` is None for QoS 0. An empty payload clears the topic."""
        overtaken = self._unwritten.pop(topic, None)
        if overtaken is not None and overtaken.mid is not None:
            self._acknowledge(overtaken.mid)
        if not payload:
            if mid is not None:
                self._acknowledge(mid)
            return
        now = time.monotonic()
        waiting = _Unwritten(payload, mid, max(now, self._rested_at.get(topic, now) - AHEAD_S))
        if waiting.at > now:
            self._unwritten[topic] = waiting
            return
        self._hand_over(topic, waiting)

    def retry(self, now: float) -> None:
        """Hand over again what is due. `now` is monotonic."""
        due = [(topic, waiting) for topic, waiting in self._unwritten.items() if waiting.at <= now]
        for topic, waiting in due:
            del self._unwritten[topic]
            self._hand_over(topic, waiting)

    def connection_lost(self) -> None:
        """The broker will send again what was not acknowledged, under packet ids of the new connection."""
        self._unwritten.clear()

    def _hand_over(self, topic: str, waiting: _Unwritten) -> None:
        began = time.monotonic()
        try:
            self._on_policy(topic, waiting.payload)
        except Exception as error:  # noqa: BLE001 - the broker keeps the policy, whatever it was
            delay_s = waiting.backoff.failed()
            logger.warning("policy on %s was not taken: %r; next attempt in %.0f s", topic, error, delay_s)
            waiting.at = time.monotonic() + delay_s
            self._unwritten[topic] = waiting
            return
        now = time.monotonic()
        rest_s = min(max(LEAST_REST_S, REST * (now - began)), MOST_REST_S)
        self._rested_at[topic] = max(now, self._rested_at.get(topic, now)) + rest_s
        if waiting.mid is not None:
            self._acknowledge(waiting.mid)
