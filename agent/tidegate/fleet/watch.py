"""An independent witness: which sequence numbers really came out of the broker."""

import ssl
import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection
from types import TracebackType
from typing import Self

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import BaseModel, ValidationError

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.fleet.subscription import Subscription
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.link import trouble
from tidegate.telemetry.link.paho_client import connect_properties, make_client
from tidegate.telemetry.topics import DeviceTopics

_SESSION_EXPIRY_S = 3600
_READY_S = 10.0


class _Numbered(BaseModel):
    seq: int


class WatchError(TidegateError):
    """The witness could not subscribe, so it can testify to nothing."""

    exit_code = EX_UNAVAILABLE


class Watch:
    """Subscribes to a device's telemetry and events and counts every seq it sees.

    Its session is persistent: what the broker accepts while the witness reconnects is delivered afterwards.
    Use as a context manager, or call `start` (returns once subscribed) and `stop`. Raises WatchError.
    """

    def __init__(self, broker: Broker, device: str) -> None:
        self._broker = broker
        topics = DeviceTopics(device)
        self._changed = threading.Condition()
        self._seen: Counter[int] = Counter()
        self._unnumbered = 0
        try:
            self._client = make_client(broker, f"tidegate-watch-{uuid.uuid4().hex}")
        except (OSError, ValueError, ssl.SSLError) as error:
            raise WatchError(trouble.no_connection(broker, error, trouble.ON_COMMAND_LINE)) from error
        self._subscription = Subscription(self._client, broker, (topics.telemetry, topics.event))
        self._client.on_message = self._on_message
        # A witness away for long would only make the test that waits for it slow.
        self._client.reconnect_delay_set(1, 2)

    def start(self) -> None:
        """Connect and subscribe."""
        try:
            self._client.connect(
                self._broker.host,
                self._broker.port,
                clean_start=False,
                properties=connect_properties(SessionExpiryInterval=_SESSION_EXPIRY_S),
            )
        except (OSError, ValueError) as error:
            raise WatchError(trouble.no_connection(self._broker, error, trouble.ON_COMMAND_LINE)) from error
        self._client.loop_start()
        if problem := self._subscription.problem(_READY_S):
            self.stop()
            raise WatchError(problem)

    def stop(self) -> None:
        """Disconnect, end the session at the broker, and end the thread."""
        properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = 0
        self._client.disconnect(properties=properties)
        self._client.loop_stop()

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

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
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
