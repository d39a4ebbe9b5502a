"""Frames from an MQTT topic, and answers to one: over a client of the worker's own."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from threading import Event, Lock

import paho.mqtt.client as mqtt

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.link.paho_client import make_client
from tidegate.worker.pictures import sample_of, takes_pictures
from tidegate.worker.protocol.refusals import BadRequest
from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.line import MAX_LINE_BYTES, frame_of_line
from tidegate.worker.streams.source import BadFrame, SourceGone

KEEPALIVE_S = 60
CONNECT_S = 10.0
HELD = 4
"""Messages that wait to be read; the oldest gives way."""
LOOK_S = 1.0


class MqttSource:
    """A message is a JPEG, a PNG, or what a line of a pipe is."""

    live = True

    def __init__(self, broker: Broker, topic: str, sample_shape: tuple[int, ...]) -> None:
        self._broker = broker
        self._topic = topic
        self._shape = sample_shape

    def frames(self, stop: Event, due: Callable[[], bool]) -> Iterator[Frame | BadFrame | None]:
        """Each message that is due. Raises SourceGone when the broker is."""
        came, gone = Event(), Event()
        held: deque[tuple[str, bytes]] = deque(maxlen=HELD)
        client = _client(self._broker)

        def subscribe(*_: object) -> None:
            client.subscribe(self._topic)

        def take(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
            held.append((message.topic, bytes(message.payload)))
            came.set()

        def lose(*_: object) -> None:
            gone.set()
            came.set()

        client.on_connect, client.on_message, client.on_disconnect = subscribe, take, lose
        with _running(client, self._broker):
            number = 0
            while not (stop.is_set() or gone.is_set()):
                came.wait(LOOK_S)
                came.clear()
                while held:
                    topic, payload = held.popleft()
                    number += 1
                    yield self._frame(payload, f"{topic}:{number}") if due() else None
        if gone.is_set():
            raise SourceGone(f"broker {self._broker}: the connection ended")

    def _frame(self, payload: bytes, where: str) -> Frame | BadFrame:
        if len(payload) > MAX_LINE_BYTES:
            return BadFrame(f"{where}: {len(payload)} bytes; allowed are {MAX_LINE_BYTES}")
        if payload.lstrip()[:1] == b"{":
            return frame_of_line(payload, self._shape, where)
        if not takes_pictures(self._shape):
            return BadFrame(f"{where}: the network takes no pictures here; allowed is an object with `data`")
        try:
            return Frame(sample_of(payload, self._shape, where), where)
        except BadRequest as error:
            return BadFrame(str(error))


class MqttSink:
    """Answers that come while there is no broker are lost: an answer that is late helps nobody."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self._client: mqtt.Client | None = None
        self._lock = Lock()

    def write(self, line: bytes) -> None:
        """Raises OSError."""
        with self._lock:
            if self._client is None:
                client = _client(self._broker)
                client.connect_async(self._broker.host, self._broker.port, KEEPALIVE_S)
                client.loop_start()
                self._client = client
        sent = self._client.publish(self._topic, line.rstrip(b"\n"))
        if sent.rc != mqtt.MQTT_ERR_SUCCESS:
            raise OSError(0, mqtt.error_string(sent.rc), str(self._broker))

    def close(self) -> None:
        """Publish no more."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()


def _client(broker: Broker) -> mqtt.Client:
    try:
        client = make_client(broker, "")
    except (OSError, ValueError) as error:
        raise SourceGone(f"broker {broker}: {error}") from None
    client.connect_timeout = CONNECT_S
    return client


@contextlib.contextmanager
def _running(client: mqtt.Client, broker: Broker) -> Iterator[None]:
    try:
        client.connect(broker.host, broker.port, KEEPALIVE_S)
    except OSError as error:
        raise SourceGone(f"broker {broker}: {error.strerror or error}") from None
    client.loop_start()
    try:
        yield
    finally:
        client.disconnect()
        client.loop_stop()
