"""A meter that publishes to an MQTT broker, as smart plugs do."""

import time
from collections.abc import Callable
from contextlib import suppress

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from tidegate_drivers.meters import watts
from tidegate_drivers.meters.address import TopicMeter
from tidegate_drivers.reading import POWER, Provenance, Unit
from tidegate_drivers.sensor import Sensor, SensorError

OLDEST_S = 60.0
"""Plugs publish every few seconds under load and once a minute when nothing changes."""


class MqttMeter:
    """Subscribes in paho's own thread, and keeps the latest value."""

    def __init__(self, address: TopicMeter, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._latest: tuple[float, float | str] | None = None
        self._trouble = ""
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda _client, _data, _flags, code, _properties: self._connected(code)
        self._client.on_connect_fail = lambda _client, _data: self._failed("can't be connected to")
        self._client.on_subscribe = lambda _client, _data, _mid, codes, _properties: self._subscribed(codes)
        self._client.on_message = lambda _client, _data, message: self.receive(message)

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost.

        Raises OSError for a password or authorities that can't be read (ssl.SSLError is one).
        """
        address = self._address
        if address.username is not None:
            password = address.password_file.read_text().strip() if address.password_file else None
            self._client.username_pw_set(address.username, password)
        if address.tls:
            self._client.tls_set(ca_certs=str(address.ca) if address.ca else None)
        self._client.connect_async(address.host, address.port)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end paho's thread; no message counts afterwards."""
        with suppress(OSError):
            self._client.disconnect()
        self._client.loop_stop()

    def receive(self, message: MQTTMessage) -> None:
        """Keep a message's value, or why it has none."""
        try:
            value: float | str = watts.parse(message.payload.decode("utf-8", "replace"), self._address.key)
        except ValueError as error:
            value = str(error)
        # A retained message is of any age.
        if not message.retain:
            self._latest = (self._clock(), value)

    def sensor(self) -> Sensor:
        """`power` of this meter."""
        return Sensor(POWER, Unit.WATT, Provenance.MEASURED, f"meter/{self._address.topic}", self.read_w)

    def read_w(self) -> float:
        """The latest power in W. Raises SensorError where none came, or none within OLDEST_S."""
        latest, topic = self._latest, self._address.topic
        because = f": the broker {self._trouble}" if self._trouble else ""
        if latest is None:
            raise SensorError(f"nothing has come on {topic} from {self._address.host} yet{because}")
        received_at, value = latest
        age_s = self._clock() - received_at
        if age_s > OLDEST_S:
            raise SensorError(f"nothing has come on {topic} for {age_s:.0f} s{because}")
        if isinstance(value, str):
            raise SensorError(f"{topic}: {value}")
        return value

    def _connected(self, code: ReasonCode) -> None:
        if code.is_failure:
            self._failed(f"refused: {code}")
            return
        self._trouble = ""
        self._client.subscribe(self._address.topic)

    def _subscribed(self, codes: list[ReasonCode]) -> None:
        if any(code.is_failure for code in codes):
            self._failed(f"refused the subscription: {codes[0]}")

    def _failed(self, trouble: str) -> None:
        self._trouble = trouble
