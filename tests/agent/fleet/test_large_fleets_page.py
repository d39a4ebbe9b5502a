"""The files in docs/large-fleets.md: mosquitto runs with them and keeps devices apart, the others parse."""

import re
import threading
import tomllib
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from tidegate.fleet.broker import LocalBroker, find_mosquitto
from tidegate.telemetry.device import Device
from tidegate.telemetry.topics import DeviceTopics

PAGE = Path(__file__).parents[3] / "docs" / "large-fleets.md"
CAM = DeviceTopics("cam-1")
NOT_AUTHORIZED = 135


def block(after: str) -> str:
    """The first code block behind the first mention of a file."""
    found = re.search(re.escape(after) + r".*?```\w*\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def with_the_pages_files(directory: Path, port: int, settings: Sequence[str]) -> Sequence[str | Path]:
    """mosquitto with the page's files, but here: on our port, without certificate and passwords."""
    (directory / "acl").write_text(block("`mosquitto/acl`"))
    lines = [line for line in block("`mosquitto/mosquitto.conf`").splitlines() if not line.startswith(LEFT_OUT)]
    ours = (f"listener {port} 127.0.0.1", "allow_anonymous true", *settings)
    config = "\n".join((*ours, *lines)).replace("/mosquitto/data", str(directory))
    config = config.replace("/mosquitto/config", str(directory))
    (directory / "mosquitto.conf").write_text("user root\n" + config + "\n")
    program = find_mosquitto()
    assert program is not None
    return program, "-c", directory / "mosquitto.conf"


LEFT_OUT = ("listener", "certfile", "keyfile", "allow_anonymous", "password_file")


def answers(broker: LocalBroker, user: str, topics: Sequence[str]) -> dict[str, int]:
    """The reason code that each publication of a user gets."""
    found: dict[int, int] = {}
    done = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, user, protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(user)

    def answered(_client: mqtt.Client, _data: object, mid: int, reason: ReasonCode, _: object) -> None:
        found[mid] = reason.value
        if len(found) == len(topics):
            done.set()

    client.on_publish = answered
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    sent = {topic: client.publish(topic, "x", qos=1).mid for topic in topics}
    assert done.wait(20)
    client.disconnect()
    client.loop_stop()
    return {topic: found[mid] for topic, mid in sent.items()}


@pytest.mark.broker
def test_a_device_speaks_for_itself_alone_and_the_operator_pushes(mosquitto: None, tmp_path: Path) -> None:
    own = [CAM.status, CAM.telemetry, CAM.event, CAM.reported, CAM.chunks_wanted]
    desired = [
        topic for topic in Device("cam-1", ("barn",), 1).desired_topics if "/group/" in topic or "fleet" in topic
    ]
    pushed = [CAM.policy, CAM.chunk, *desired, "tidegate/group/barn/rollout", "tidegate/fleet/rollout"]
    with LocalBroker(tmp_path, program=with_the_pages_files) as broker:
        said = answers(broker, "cam-1", [*own, *pushed, DeviceTopics("cam-2").status])
        assert {topic for topic, code in said.items() if code != NOT_AUTHORIZED} == set(own)
        said = answers(broker, "ops", [*pushed, CAM.reported])
        assert {topic for topic, code in said.items() if code == NOT_AUTHORIZED} == {CAM.reported}
        assert set(answers(broker, "ingest", own).values()) == {NOT_AUTHORIZED}


def test_what_composes_and_ingests_parses_and_names_what_there_is() -> None:
    services = yaml.safe_load(block("`compose.yaml`:"))["services"]
    assert set(services["ingest"]["depends_on"]) < set(services)
    telegraf = tomllib.loads(block("Telegraf, `telegraf.conf`"))
    (consumer,) = telegraf["inputs"]["mqtt_consumer"]
    assert consumer["topics"] == [f"$share/ingest/{CAM.telemetry.replace('cam-1', '+')}"]
    assert consumer["servers"] == ["ssl://broker:8883"]
    assert all(mount.split(":")[0] for each in services.values() for mount in each["volumes"])
