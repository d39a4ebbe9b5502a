"""A fleet while it is watched: a connection that gathers what devices say."""

import threading
import time
from types import TracebackType
from typing import Self

from paho.mqtt.client import MQTTMessage

from tidegate.fleet.listener import Listener
from tidegate.fleet.overview import FILTERS, DeviceOverview, Overview
from tidegate.telemetry.broker import Broker


class WatchedFleet:
    """Gathers from its entering to its exit. Raises BrokerError."""

    def __init__(self, broker: Broker) -> None:
        self._overview = Overview()
        self._lock = threading.Lock()
        self._listener = Listener(broker, "fleet", FILTERS, self._take)

    def wait_for_retained(self) -> None:
        """Return once all is here that the broker had retained."""
        self._listener.wait_for_retained()
        with self._lock:
            unreported = self._overview.unreported()
        self._listener.read_reports(unreported)

    def devices(self, group: str | None) -> list[DeviceOverview]:
        """Those of a group (None: all) as they are now."""
        with self._lock:
            return self._overview.sorted(group)

    def _take(self, message: MQTTMessage) -> None:
        with self._lock:
            payload = bytes(message.payload)
            self._overview.take(message.topic, payload, retained=message.retain, now=time.time())

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.stop()
