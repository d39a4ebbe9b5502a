"""One connection after another to the broker: paho does the protocol, this its socket and its callbacks.

paho's own thread is not used: it has no jitter, forgets its backoff at the first CONNACK, dies of an exception
in a callback, hangs in `loop_stop` while something is unacknowledged, and calls back holding a lock that
`publish` needs.
"""

import logging
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from typing import Literal

import paho.mqtt.client as mqtt
from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.link import trouble
from tidegate.telemetry.link.inbox import Inbox
from tidegate.telemetry.link.outbox import Outbox
from tidegate.telemetry.link.paho_client import connect_properties, make_client
from tidegate.telemetry.link.subscriber import Connack, Ended, Subscriber
from tidegate.telemetry.payloads.device_status import DeviceStatus
from tidegate.telemetry.payloads.input import InputMessage, OnInput

logger = logging.getLogger(__name__)

KEEPALIVE_S = 30
# How long the broker keeps the session of a device that is away: a week covers a field trip.
SESSION_EXPIRY_S = 7 * 24 * 3600
# Above the envelope's own limit, so that one too large is refused and reported here, not dropped unseen there.
MAX_INCOMING_BYTES = 1024 * 1024
# Policies the broker may have in flight to us: one topic each for device and fleet, and a few groups.
RECEIVE_MAXIMUM = 16
# How long the broker may take for its CONNACK: paho itself would wait for ever.
CONNACK_S = 15.0
# So many connections in a row that end sooner than this have something in common.
CUT_OFF_TIMES = 3
CUT_OFF_WITHIN_S = 15.0
OnHeard = Callable[[bytes, bool], None]
"""Takes the payload of a message, and whether the broker had kept it (retained)."""

# First byte of a CONNACK (MQTT 5, section 3.2.1).
_CONNACK = 0x20
# How long the DISCONNECT may take to leave.
DISCONNECT_S = 1.0

# DISCONNECT reason codes that a message we sent can cause (MQTT 5, section 3.14.2.1). paho names its own failure
# to decode an answer by the first two.
_BLAMES_A_MESSAGE = frozenset({0x81, 0x82, 0x90, 0x95, 0x99, 0x9A, 0x9B})


class Connection:
    """Opens, runs and closes connections for one device; used by one thread only.

    `down_because` says in the user's words why there is none, None while there is one. `on_up(problem)` is called
    at each CONNACK, and again with what is wrong if the broker refuses a subscription.
    """

    def __init__(
        self,
        broker: Broker,
        device: Device,
        outbox: Outbox,
        on_up: Callable[[str], None],
        on_input: OnInput,
        heard: Mapping[str, OnHeard],
        counts: Heard,
    ) -> None:
        self._broker = broker
        self._device = device
        self._outbox = outbox
        self._on_up = on_up
        self._on_input = on_input
        self._heard = heard
        self._counts = counts
        self._client: mqtt.Client | None = None
        self._opened: socket.socket | None = None
        self._opened_at = 0.0
        self._answered = False
        self._cut_off = 0
        self._blamed = False
        self._hung_up = False
        self.connects = 0
        self.up_since: float | None = None
        self.down_because: str | None = "not connected yet"
        # Nothing waited for an answer or to be sent when it was last looked.
        self.idle = False

    def open(self, inbox: Inbox) -> None:
        """Send a CONNECT. Raises OSError, ValueError or MQTTException when that cannot be done."""
        self.up_since, self.down_because, self._blamed, self.idle = None, None, False, False
        self._answered = self._hung_up = False
        if self._client is None:
            self._client = self._make_client(inbox)
        self._client.reconnect()
        sock = self._client.socket()
        self._opened = sock if isinstance(sock, socket.socket) else None
        self._opened_at = time.monotonic()

    def step(self, wakeup: socket.socket, timeout_s: float) -> None:
        """Publish what may go, wait for the socket or `wakeup`, read and write once. May set `down_because`."""
        client, sock = self._client, self._opened
        if client is None or sock is None:
            return
        replaced = client.socket() is not sock
        if replaced:
            self.down_because = self.down_because or f"{self._broker}: connection closed"
            return
        if self.up_since is not None:
            self._publish(client)
        elif (waited_s := time.monotonic() - self._opened_at) > CONNACK_S:
            self.down_because = trouble.no_answer(self._broker, waited_s, trouble.IN_AGENT_YAML)
            return
        try:
            self._read_and_write(client, sock, wakeup, timeout_s)
        except MQTTException as error:
            self.down_because, self._blamed = f"{self._broker}: unreadable answer: {error}", True
        self._outbox.settle_when_due()

    def acknowledge(self, mid: int) -> None:
        """PUBACK an incoming message."""
        if self._client is not None:
            self._client.ack(mid, 1)

    def close(self) -> None:
        """Drop the connection without a DISCONNECT, so that the Will tells of it; `down_because` says why."""
        if self._opened is not None:
            # paho itself lets go of the socket at the next attempt.
            self._opened.close()
            self._opened = None
        if self.up_since is not None:
            self._outbox.lost(blamed=self._blamed, hung_up=self._hung_up)

    @property
    def resting(self) -> bool:
        """Whether it is up and nothing but the socket or news can call for anything."""
        return self.up_since is not None and self._outbox.resting

    def publish_offline(self) -> None:
        """Put the last status into the outbox."""
        self._outbox.retain(self._device.topics.status, self._status("offline", time.time()))

    @property
    def offline_delivered(self) -> bool:
        """Whether the broker has the last status."""
        return self._outbox.delivered(self._device.topics.status)

    def disconnect(self) -> None:
        """Send the DISCONNECT; without a delivered last status one that lets the Will speak."""
        if self._client is None:
            return
        name = "Normal disconnection" if self.offline_delivered else "Disconnect with will message"
        self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, name))
        deadline = time.monotonic() + DISCONNECT_S
        while self._client.socket() is not None and self._client.want_write() and time.monotonic() < deadline:
            self._client.loop_write()
            time.sleep(0.001)
        self.down_because = "stopped"

    def _publish(self, client: mqtt.Client) -> None:
        while (message := self._outbox.next(time.monotonic())) is not None:
            try:
                info = client.publish(message.topic, message.payload, qos=1, retain=message.retain)
            except ValueError as error:
                # One message that paho will not send must not end every connection.
                self._outbox.refuse(message, str(error))
                continue
            if info.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
                # Not taken: its packet id is still in use. The new connection sends whatever has no answer.
                self.down_because = f"{self._broker}: no free packet id"
                return
            # Any other code, "no connection" included, means that paho has it and will send it.
            self._outbox.sent(info.mid, message)
        self.idle = self._outbox.in_flight == 0

    def _read_and_write(
        self, client: mqtt.Client, sock: socket.socket, wakeup: socket.socket, timeout_s: float
    ) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(wakeup, selectors.EVENT_READ)
            selector.register(sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if client.want_write() else 0))
            # TLS may hold decrypted bytes that no selector sees.
            held = getattr(sock, "pending", None)
            buffered = held is not None and held() > 0
            ready = {key.fileobj for key, _ in selector.select(0 if buffered else timeout_s)}
        if sock in ready or buffered:
            if not self._answered and (greeting := self._foreign_greeting(sock)) is not None:
                self.down_because = trouble.not_mqtt(self._broker, greeting, trouble.IN_AGENT_YAML)
                return
            client.loop_read()
        if client.want_write():
            client.loop_write()
        client.loop_misc()

    def _foreign_greeting(self, sock: socket.socket) -> bytes | None:
        """The beginning of a first answer that is no CONNACK, None for one that may be."""
        if self._broker.tls_ca is not None:
            return None
        try:
            first = sock.recv(24, socket.MSG_PEEK)
        except OSError:
            return None
        self._answered = bool(first)
        return first if first and first[0] != _CONNACK else None

    def _make_client(self, inbox: Inbox) -> mqtt.Client:
        client = make_client(self._broker, f"tidegate-{self._device.id}", manual_ack=True)
        # The window is the outbox's; paho shall hold nothing back that the outbox believes sent.
        client.max_inflight_messages = 0
        # The moment of a death that nobody announced is not known, so the Will gives none.
        client.will_set(self._device.topics.status, self._status("offline", None), qos=1, retain=True)

        def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
            self._counts.arrived()
            name, hear = self._device.topics.input_of(message.topic), self._heard.get(message.topic)
            if name is not None or hear is not None:
                if name is not None:
                    self._take_input(name, message)
                elif hear is not None:
                    self._hear(hear, message)
                if message.qos:
                    client.ack(message.mid, message.qos)
                return
            inbox.receive(message.topic, bytes(message.payload), message.mid if message.qos else None)

        def on_publish(_: mqtt.Client, __: object, mid: int, reason: ReasonCode, ___: Properties | None) -> None:
            self._outbox.answered(mid, reason, time.monotonic())

        Subscriber(
            client,
            self._broker,
            trouble.IN_AGENT_YAML,
            self._filters,
            on_up=self._on_connack,
            on_subscribed=self._on_subscribed,
            on_ended=self._on_ended,
        )
        client.on_message = on_message
        client.on_publish = on_publish
        # With this set, publish() only queues, and all writing happens in `_read_and_write`.
        client.on_socket_register_write = lambda *_: None
        properties = connect_properties(
            SessionExpiryInterval=SESSION_EXPIRY_S,
            ReceiveMaximum=RECEIVE_MAXIMUM,
            MaximumPacketSize=MAX_INCOMING_BYTES,
        )
        # clean_start False: paho's default wipes, at every start of the process, what the broker kept for it.
        client.connect_async(
            self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=False, properties=properties
        )
        return client

    def _take_input(self, name: str, message: mqtt.MQTTMessage) -> None:
        expiry_s = getattr(message.properties, "MessageExpiryInterval", None)
        try:
            self._on_input(InputMessage(name, bytes(message.payload), message.retain, expiry_s))
        except Exception:
            logger.exception("input %s", name)

    def _hear(self, hear: OnHeard, message: mqtt.MQTTMessage) -> None:
        try:
            hear(bytes(message.payload), message.retain)
        except Exception:
            logger.exception("%s", message.topic)

    def _on_connack(self, connack: Connack) -> None:
        self.up_since = time.monotonic()
        self.connects += 1
        self._outbox.retain(self._device.topics.status, self._status("online", time.time()))
        limits = (connack.receive_maximum, connack.max_packet_bytes)
        if self._client is not None and not self._outbox.connected(*limits, connack.session_present):
            self._client.drop_out_messages()
        self._on_up("")

    def _on_subscribed(self, problem: str) -> None:
        if problem:
            logger.warning("%s", problem)
            self._on_up(problem)

    def _on_ended(self, ended: Ended) -> None:
        if self.down_because is None:
            self.down_because = ended.why or self._broke()
        self._blamed = self._blamed or ended.code in _BLAMES_A_MESSAGE

    def _broke(self) -> str:
        """For a connection that was up and broke without a word."""
        self._hung_up = self.up_since is not None and time.monotonic() - self.up_since < CUT_OFF_WITHIN_S
        self._cut_off = self._cut_off + 1 if self._hung_up else 0
        if self._cut_off >= CUT_OFF_TIMES:
            return trouble.cut_off(self._broker, self._cut_off)
        return f"{self._broker}: connection lost; reconnecting"

    @property
    def _filters(self) -> tuple[tuple[str, int], ...]:
        """Filters with their QoS. Inputs and the like have 0: a device that was away has no use for old ones."""
        at_once = (self._device.topics.inputs, *self._heard)
        return (*((topic, 1) for topic in self._device.desired_topics), *((topic, 0) for topic in at_once))

    def _status(self, state: Literal["online", "offline"], since: float | None) -> bytes:
        return DeviceStatus(state, self._device.session, since).to_payload()
