"""A paho client set up the way every part of tidegate needs it: MQTT 5, credentials, TLS."""

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidegate.telemetry.broker import Broker


def make_client(broker: Broker, client_id: str, *, manual_ack: bool = False) -> mqtt.Client:
    """A client with the broker's credentials, not connected. Raises OSError or ValueError for a bad CA file."""
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5, manual_ack=manual_ack
    )
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if broker.tls_ca is not None:
        client.tls_set(ca_certs=str(broker.tls_ca))
    return client


def connect_properties(**values: int) -> Properties:
    """CONNECT properties by their MQTT 5 names, for example SessionExpiryInterval=60."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    for name, value in values.items():
        setattr(properties, name, value)
    return properties
