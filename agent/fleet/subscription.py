"""Listening to topics: asked for at every CONNACK, with the broker's refusal in words."""

import threading
from collections.abc import Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions


class Subscription:
    """Takes over a client's `on_connect` and `on_subscribe`; with no topics it only waits for the connection."""

    def __init__(self, client: mqtt.Client, topics: Sequence[str]) -> None:
        self._topics = topics
        self._answered = threading.Event()
        self._refusal = ""
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe

    def problem(self, timeout_s: float) -> str | None:
        """Why nothing will be heard: refused, or no answer in time. None once the broker has agreed."""
        if not self._answered.wait(timeout_s):
            return f"no answer within {timeout_s:.0f} s"
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
            self._refusal = f"connection refused: {reason}"
        elif self._topics:
            client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self._topics])
            return
        self._answered.set()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refusal = f"subscription refused: {', '.join(map(str, reasons))}"
        self._answered.set()
