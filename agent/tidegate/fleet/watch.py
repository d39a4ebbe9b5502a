"""An independent witness: which sequence numbers really came out of the broker."""

import threading
import time
from collections import Counter
from collections.abc import Collection
from types import TracebackType
from typing import Self

import paho.mqtt.client as mqtt
from pydantic import BaseModel, ValidationError

from tidegate.fleet.listener import Listener
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.topics import DeviceTopics

_SESSION_EXPIRY_S = 3600


class _Numbered(BaseModel):
    seq: int


class Watch:
    """Subscribes to a device's telemetry and events and counts every seq it sees.

    Its session is persistent: what the broker accepts while the witness reconnects is delivered afterwards.
    Use as a context manager, or call `start` (returns once subscribed) and `stop`. Raises BrokerError.
    """

    def __init__(self, broker: Broker, device: str) -> None:
        topics = DeviceTopics(device)
        self._changed = threading.Condition()
        self._seen: Counter[int] = Counter()
        self._unnumbered = 0
        self._listener = Listener(
            broker,
            "watch",
            (topics.telemetry, topics.event),
            self._on_message,
            session_expiry_s=_SESSION_EXPIRY_S,
        )

    def start(self) -> None:
        """Connect and subscribe."""
        self._listener.start()

    def stop(self) -> None:
        """Disconnect and end the session at the broker."""
        self._listener.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def seen(self) -> frozenset[int]:
        """Every seq seen at least once."""
        with self._changed:
            return frozenset(self._seen)

    @property
    def duplicates(self) -> dict[int, int]:
        """Every seq seen more than once, with how often."""
        with self._changed:
            return {seq: times for seq, times in self._seen.items() if times > 1}

    @property
    def unnumbered(self) -> int:
        """Messages without a seq: never from the spool of this agent."""
        return self._unnumbered

    def lost(self, expected: Collection[int]) -> frozenset[int]:
        """Those of `expected` that were not seen."""
        return frozenset(expected) - self.seen

    def wait_for(self, expected: Collection[int], timeout_s: float) -> bool:
        """Wait until every one of `expected` was seen; False when time ran out first."""
        wanted = set(expected)
        deadline = time.monotonic() + timeout_s
        with self._changed:
            return self._changed.wait_for(
                lambda: wanted <= self._seen.keys(), timeout=max(0.0, deadline - time.monotonic())
            )

    def _on_message(self, message: mqtt.MQTTMessage) -> None:
        try:
            seq = _Numbered.model_validate_json(bytes(message.payload)).seq
        except ValidationError:
            self._unnumbered += 1
            return
        with self._changed:
            if message.dup and seq in self._seen:
                return  # the broker's double, not the sender's
            self._seen[seq] += 1
            self._changed.notify_all()
