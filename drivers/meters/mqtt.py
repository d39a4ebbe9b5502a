"""A meter that publishes to an MQTT broker, as smart plugs do."""

import time
from collections.abc import Callable
from contextlib import suppress

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from drivers.meters import watts
from drivers.reading import POWER, Provenance, Unit
from drivers.sensor import Sensor, SensorError

OLDEST_S = 60.0
"""Plugs publish every few seconds under load and once a minute when nothing changes."""


class MqttMeter:
    """Subscribes in paho's own thread, and keeps the latest value."""

    def __init__(
        self, host: str, port: int, topic: str, key: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host, self._port, self._topic, self._key = host, port, topic, key
        self._clock = clock
        self._latest: tuple[float, float | str] | None = None
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(topic)
        self._client.on_message = lambda _client, _data, message: self.receive(message)

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._client.connect_async(self._host, self._port)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        with suppress(OSError):
            self._client.disconnect()
        self._client.loop_stop()

    def receive(self, message: MQTTMessage) -> None:
        """Keep a message's value, or why it has none."""
        try:
            value: float | str = watts.parse(message.payload.decode("utf-8", "replace"), self._key)
        except ValueError as error:
            value = str(error)
        # A retained message is of any age.
        if not message.retain:
            self._latest = (self._clock(), value)

    def sensor(self) -> Sensor:
        """`power` of this meter."""
        return Sensor(POWER, Unit.WATT, Provenance.MEASURED, f"meter/{self._topic}", self.read_w)

    def read_w(self) -> float:
        """The latest power in W. Raises SensorError."""
        latest = self._latest
        if latest is None:
            raise SensorError(f"nothing has come on {self._topic} from {self._host} yet")
        received_at, value = latest
        age_s = self._clock() - received_at
        if age_s > OLDEST_S:
            raise SensorError(f"nothing has come on {self._topic} for {age_s:.0f} s")
        if isinstance(value, str):
            raise SensorError(f"{self._topic}: {value}")
        return value
