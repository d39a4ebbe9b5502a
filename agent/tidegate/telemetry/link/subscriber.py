"""What the broker answers to a client that subscribes, with each failure in words: CONNACK, SUBACK, DISCONNECT."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.link import trouble


@dataclass(frozen=True, slots=True)
class Connack:
    """A connection that the broker has taken, with its limits; `max_packet_bytes` is None without one."""

    session_present: bool
    receive_maximum: int
    max_packet_bytes: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection that is over or never was. `why` is empty for one that broke after its CONNACK, without a word.

    `code` is the reason code of MQTT 5 or the one that paho has for it.
    """

    code: int
    why: str


class Subscriber:
    """Subscribes a client at its every connection, so that nothing is missed with a session that the broker lost.

    Takes over the client's `on_connect`, `on_disconnect` and `on_subscribe`. Filters come with their QoS; another
    QoS in the answer is a refusal, since messages could be lost. Called in the client's thread: `on_up(connack)`
    before the filters are sent, `on_subscribed(problem)` with what was refused of them, empty when all is granted,
    and `on_ended(ended)`.
    """

    def __init__(
        self,
        client: mqtt.Client,
        broker: Broker,
        settings: trouble.SettingNames,
        filters: Sequence[tuple[str, int]],
        *,
        on_up: Callable[[Connack], None],
        on_subscribed: Callable[[str], None],
        on_ended: Callable[[Ended], None],
    ) -> None:
        self._broker = broker
        self._settings = settings
        self._filters = tuple(filters)
        self._on_up = on_up
        self._on_subscribed = on_subscribed
        self._on_ended = on_ended
        self._up = False
        self._mid: int | None = None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe

    def _on_connect(
        self,
        client: mqtt.Client,
        _data: object,
        flags: mqtt.ConnectFlags | dict[str, bool],
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._on_ended(Ended(reason.value, self._refusal(reason)))
            return
        if getattr(properties, "MaximumQoS", 2) < 1:
            self._on_ended(Ended(reason.value, f"{self._broker}: offers QoS 0 only, QoS 1 is needed"))
            return
        self._up = True
        self._on_up(
            Connack(
                session_present=isinstance(flags, mqtt.ConnectFlags) and flags.session_present,
                receive_maximum=getattr(properties, "ReceiveMaximum", 65_535),
                max_packet_bytes=getattr(properties, "MaximumPacketSize", None),
            )
        )
        _, self._mid = client.subscribe([(topic, SubscribeOptions(qos=qos)) for topic, qos in self._filters])

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        was_up, self._up = self._up, False
        if flags.is_disconnect_packet_from_server:
            why = self._refusal(reason)
        else:
            why = "" if was_up else trouble.hung_up(self._broker, self._settings)
        self._on_ended(Ended(reason.value, why))

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, mid: int, reasons: list[ReasonCode], _: Properties | None
    ) -> None:
        if mid != self._mid:
            return  # of further topics that somebody else has subscribed this client to
        answers = zip(self._filters, reasons, strict=False)
        refused = ", ".join(f"{topic} ({reason})" for (topic, qos), reason in answers if reason.value != qos)
        told = f"{self._broker}: refuses subscriptions: {refused}; check its access list" if refused else ""
        self._on_subscribed(told)

    def _refusal(self, reason: ReasonCode) -> str:
        return trouble.refusal(self._broker, reason.value, str(reason), self._settings)
