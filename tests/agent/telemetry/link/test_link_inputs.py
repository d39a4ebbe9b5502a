"""What a real broker says of a number's age reaches the device: whether it was kept, and how long it holds."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidegate.fleet.broker import LocalBroker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.link import Link
from tidegate.telemetry.link.paho_client import make_client
from tidegate.telemetry.payloads.input import InputMessage
from tidegate.telemetry.spool import Spool

pytestmark = pytest.mark.broker

DEVICE = Device("cam-1", (), session=1)
BOUND_S = 20.0


class Sender:
    """Another program at the same broker."""

    def __init__(self, broker: LocalBroker) -> None:
        self._client = make_client(broker.address, "sender")
        self._client.connect(broker.address.host, broker.address.port)
        self._client.loop_start()

    def say(self, name: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        topic = f"tidegate/{DEVICE.id}/input/{name}"
        self._client.publish(topic, payload, 1, retain, properties).wait_for_publish(BOUND_S)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def sender(broker: LocalBroker) -> Iterator[Sender]:
    sender = Sender(broker)
    yield sender
    sender.stop()


def test_kept_live_and_expiring_numbers_are_told_apart(
    broker: LocalBroker, sender: Sender, tmp_path: Path
) -> None:
    sender.say("kept", b"1", retain=True)
    sender.say("kept-for-a-while", b"2", retain=True, expiry_s=600)
    heard: dict[str, InputMessage] = {}

    def hear(message: InputMessage) -> None:
        heard[message.name] = message
        raise RuntimeError("a listener's mistake costs neither the thread nor the connection")

    spool = Spool(tmp_path / "spool.db", 10**7, 10**6)
    link = Link(broker.address, DEVICE, spool, on_policy=lambda _topic, _payload: None, on_input=hear)
    link.start()
    try:
        wait_for(heard, "kept-for-a-while")
        sender.say("live", b"3", expiry_s=30)
        wait_for(heard, "live")
        assert link.counters.connects == 1
    finally:
        assert link.stop(0.5)
        spool.close()
    assert heard["kept"] == InputMessage("kept", b"1", kept=True)
    while_kept = heard["kept-for-a-while"]
    assert while_kept.kept
    assert while_kept.expiry_s is not None
    assert 0 < while_kept.expiry_s <= 600
    assert (heard["live"].payload, heard["live"].kept, heard["live"].expiry_s) == (b"3", False, 30)


def wait_for(heard: dict[str, InputMessage], name: str) -> None:
    deadline = time.monotonic() + BOUND_S
    while name not in heard:
        assert time.monotonic() < deadline, f"heard {sorted(heard)}"
        time.sleep(0.01)
