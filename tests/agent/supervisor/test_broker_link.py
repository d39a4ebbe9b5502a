"""A device's link over a change of brokers."""

import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt import subscribe

from tidegate.fleet.broker import LocalBroker
from tidegate.supervisor.broker_link import BrokerLink
from tidegate.telemetry.device import Device
from tidegate.telemetry.spool import Spool

CAM = Device("cam-1", (), 1)


@pytest.mark.broker
def test_what_was_retained_before_there_was_a_link_and_at_another_broker_is_at_each(
    mosquitto: None, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool.db", 1 << 20, 3600.0)
    link = BrokerLink(spool)
    link.retain(CAM.topics.chunks_wanted, b"question")
    for _ in range(2):
        with LocalBroker() as broker:
            link.use(broker.address, CAM, lambda _topic, _payload: None, lambda _: None)
            link.start()
            until = time.monotonic() + 20
            while not link.delivered(CAM.topics.chunks_wanted) and time.monotonic() < until:
                time.sleep(0.02)
            assert kept(broker, CAM.topics.chunks_wanted) == b"question"
            link.stop(1.0)
    spool.close()


def kept(broker: LocalBroker, topic: str) -> bytes:
    message = subscribe.simple(topic, hostname="127.0.0.1", port=broker.port, protocol=mqtt.MQTTv5)
    assert not isinstance(message, list)
    return bytes(message.payload)
