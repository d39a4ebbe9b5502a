"""More devices than a broker queues for one listener are all seen, with what they report."""

from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.watched_fleet import WatchedFleet
from tidegate.telemetry.link.paho_client import make_client
from tidegate.telemetry.payloads.device_status import DeviceStatus
from tidegate.telemetry.payloads.document import to_json
from tidegate.telemetry.payloads.reported import Reported
from tidegate.telemetry.topics import DeviceTopics

pytestmark = pytest.mark.broker
DEVICES = 400
# Together beyond what the kernel takes from the broker at once (4 MiB): the broker has to queue.
REPORT_BYTES = 30_000


@pytest.fixture
def narrow() -> Iterator[LocalBroker]:
    """mosquitto whose limits for one listener are a fiftieth of its usual ones, as the devices here are fewer."""
    limits = ("max_queued_messages 20", "max_inflight_messages 5")
    # It would write megabytes after each message otherwise.
    with LocalBroker(settings=(*limits, "autosave_on_changes false", "autosave_interval 60")) as broker:
        yield broker


def retain(client: mqtt.Client, topic: str, payload: bytes) -> None:
    client.publish(topic, payload, qos=1, retain=True).wait_for_publish(10)


def test_more_than_the_broker_queues(narrow: LocalBroker) -> None:
    names = [f"cam-{number:03}" for number in range(DEVICES)]
    padding = tuple(f"group-{number:06}" for number in range(REPORT_BYTES // 15))
    client = make_client(narrow.address, "test-cameras")
    client.connect(narrow.address.host, narrow.address.port)
    client.loop_start()
    for name in names:
        retain(client, DeviceTopics(name).status, DeviceStatus("online", 1, 1_800_000_000).to_payload())
        retain(client, DeviceTopics(name).reported, to_json(Reported("0.2.0", groups=padding).to_document()))
    client.disconnect()
    client.loop_stop()
    with WatchedFleet(narrow.address) as fleet:
        fleet.wait_for_retained()
        devices = fleet.devices(None)
    assert [each.device for each in devices] == names
    assert {each.state for each in devices} == {"online"}
    assert [each.device for each in devices if each.reported is None] == []
