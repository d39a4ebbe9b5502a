"""Numbers from outside on their way in: what a publication on `input/<name>` carries, not yet what it means."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import paho.mqtt.client as mqtt

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InputMessage:
    """One publication. `kept` says that the broker had kept it (retained), for nobody knows how long.

    `expiry_s` is what is left of its message expiry interval (MQTT 5, section 3.3.2.3.3), None without one.
    """

    name: str
    payload: bytes
    kept: bool = False
    expiry_s: float | None = None


OnInput = Callable[[InputMessage], None]


def hand_over(on_input: OnInput, name: str, message: mqtt.MQTTMessage) -> None:
    """Give a publication to `on_input`; whatever it raises stays here, since paho's thread dies of exceptions."""
    expiry_s = getattr(message.properties, "MessageExpiryInterval", None)
    try:
        on_input(InputMessage(name, bytes(message.payload), message.retain, expiry_s))
    except Exception:
        logger.exception("input %s", name)
