"""The operator's connection to a broker: listens to topics for as long as a command runs."""

import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tidegate.errors import EX_UNAVAILABLE, EX_USAGE, TidegateError
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.link import trouble
from tidegate.telemetry.link.paho_client import connect_properties, make_client
from tidegate.telemetry.link.subscriber import Ended, Subscriber
from tidegate.telemetry.topics import ROOT

# How long the broker may take to grant the subscriptions.
_ANSWER_S = 10.0
_QUIET_S, _RETAINED_S = 1.0, 60.0
# What a broker may have under way to a listener. Without it mosquitto takes its `max_inflight_messages` (20) and
# drops, without a word, what is retained beyond those and its `max_queued_messages` (1,000).
_RECEIVE_MAXIMUM = 65_535
_PAGE = 200


class BrokerError(TidegateError):
    """The broker can't be reached or refuses; nothing was sent."""

    exit_code = EX_UNAVAILABLE


class BrokerSettingError(BrokerError):
    """What was given about the broker can't be used: the authority's file."""

    exit_code = EX_USAGE


class Listener:
    """Hears `topics` once started; `on_message` is called in a thread of its own.

    What is retained there comes in the order of the topics, and of much of it the end is lost at the broker: the
    small and the needed go first, and `read_reports` gets the rest.

    A lost connection comes back by itself, which `on_connected_again` hears in that thread; with
    `session_expiry_s` the broker keeps for so long what it missed. Raises BrokerSettingError.
    """

    def __init__(
        self,
        broker: Broker,
        purpose: str,
        topics: Sequence[str],
        on_message: Callable[[mqtt.MQTTMessage], None],
        *,
        session_expiry_s: int = 0,
        on_connected_again: Callable[[], None] = lambda: None,
    ) -> None:
        self._broker = broker
        self._session_expiry_s = session_expiry_s
        self._answered = threading.Event()
        self._refusal = ""
        self._on_connected_again = on_connected_again
        self._retained_at_s: float | None = None
        self._awaited: set[str] = set()
        self._arrived = threading.Condition()
        try:
            self.client = make_client(broker, f"tidegate-{purpose}-{uuid.uuid4().hex}")
        except (OSError, ValueError, ssl.SSLError) as error:
            raise BrokerSettingError(trouble.no_connection(broker, error, trouble.ON_COMMAND_LINE)) from error
        self.client.on_message = lambda _client, _data, message: self._take(message, on_message)
        # paho doubles the delay up to two minutes, which a command would only wait for.
        self.client.reconnect_delay_set(1, 2)
        Subscriber(
            self.client,
            broker,
            trouble.ON_COMMAND_LINE,
            [(topic, 1) for topic in topics],
            on_up=lambda _: None,
            on_subscribed=self._answer,
            on_ended=self._on_ended,
        )

    def start(self) -> None:
        """Connect, and return once the broker has granted the topics. Raises BrokerError."""
        properties = connect_properties(
            SessionExpiryInterval=self._session_expiry_s, ReceiveMaximum=_RECEIVE_MAXIMUM
        )
        try:
            self.client.connect(self._broker.host, self._broker.port, clean_start=False, properties=properties)
        except (OSError, ValueError) as error:
            raise BrokerError(trouble.no_connection(self._broker, error, trouble.ON_COMMAND_LINE)) from error
        self.client.loop_start()
        if not self._answered.wait(_ANSWER_S):
            self._refusal = trouble.no_answer(self._broker, _ANSWER_S, trouble.ON_COMMAND_LINE)
        if self._refusal:
            self.stop()
            raise BrokerError(self._refusal)

    def stop(self) -> None:
        """Disconnect, end the session at the broker, and end the thread."""
        properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = 0
        # First: `loop_stop` waits for what is unacknowledged otherwise.
        self.client.disconnect(properties=properties)
        self.client.loop_stop()

    def wait_for_retained(self, awaited_s: float = 0.0) -> None:
        """Return once what the broker had retained is here: nothing of that has come for a second.

        Where nothing has come at all, a slow broker gets `awaited_s`.
        """
        begun_s = time.monotonic()
        while (now_s := time.monotonic()) < begun_s + _RETAINED_S:
            quiet_s = awaited_s if self._retained_at_s is None else _QUIET_S
            rest_s = max(begun_s + _QUIET_S, (self._retained_at_s or begun_s) + quiet_s) - now_s
            if rest_s <= 0:
                return
            time.sleep(min(rest_s, _QUIET_S))

    def read_reports(self, devices: Iterable[str]) -> None:
        """Hear what these have retained as `reported`, whose topics are not among the listener's own.

        A page at a time, so that no broker has to queue or drop; what is missing of a page of which something came
        is asked for again. Returns once all is here or nothing comes any more.
        """
        left = [f"{ROOT}/{device}/reported" for device in devices]
        while left:
            page, left = left[:_PAGE], left[_PAGE:]
            missing = self._read_page(page)
            if len(missing) < len(page):
                left = missing + left

    def _read_page(self, topics: list[str]) -> list[str]:
        """Those of these topics of which nothing came."""
        with self._arrived:
            self._awaited = set(topics)
        self.client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in topics])
        with self._arrived:
            while self._awaited and self._arrived.wait(_QUIET_S):
                pass
            missing = [topic for topic in topics if topic in self._awaited]
        # Each is heard by the wildcard too from now on.
        self.client.unsubscribe(topics)
        return missing

    def _take(self, message: mqtt.MQTTMessage, on_message: Callable[[mqtt.MQTTMessage], None]) -> None:
        on_message(message)
        if message.retain:
            self._retained_at_s = time.monotonic()
            with self._arrived:
                if message.topic in self._awaited:
                    self._awaited.remove(message.topic)
                    self._arrived.notify_all()

    def _answer(self, refusal: str) -> None:
        """Note the first answer; `start` waits for no other."""
        if self._answered.is_set():
            self._on_connected_again()
        else:
            self._refusal = refusal
            self._answered.set()

    def _on_ended(self, ended: Ended) -> None:
        if not self._answered.is_set():
            self._answer(ended.why or f"{self._broker}: the connection was lost")
