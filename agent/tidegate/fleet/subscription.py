"""Listening to topics: asked for at every CONNACK, with the broker's refusal in words."""

import threading
from collections.abc import Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.link import trouble


class Subscription:
    """Takes over a client's `on_connect`, `on_disconnect` and `on_subscribe`.

    With no topics it only waits for the connection.
    """

    def __init__(self, client: mqtt.Client, broker: Broker, topics: Sequence[str]) -> None:
        self._broker = broker
        self.topics = topics
        self._answered = threading.Event()
        self._refusal = ""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe

    def problem(self, timeout_s: float) -> str | None:
        """Why nothing will be heard: refused, or no answer in time. None once the broker has agreed."""
        if not self._answered.wait(timeout_s):
            return trouble.no_answer(self._broker, timeout_s, trouble.ON_COMMAND_LINE)
        return self._refusal or None

    def _on_connect(
        self,
        client: mqtt.Client,
        _data: object,
        _flags: mqtt.ConnectFlags | dict[str, bool],
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusal = trouble.refusal(self._broker, reason.value, str(reason), trouble.ON_COMMAND_LINE)
        elif self.topics:
            client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self.topics])
            return
        self._answered.set()

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._answered.is_set():
            return
        if flags.is_disconnect_packet_from_server:
            self._refusal = trouble.refusal(self._broker, reason.value, str(reason), trouble.ON_COMMAND_LINE)
        else:
            self._refusal = self._refusal or trouble.hung_up(self._broker, trouble.ON_COMMAND_LINE)
        self._answered.set()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            refused = ", ".join(
                f"{topic} ({reason})"
                for topic, reason in zip(self.topics, reasons, strict=False)
                if reason.is_failure
            )
            self._refusal = f"{self._broker}: may not listen to {refused}; check its access list"
        self._answered.set()
