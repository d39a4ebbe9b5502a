"""The broker that pip brings: what the demo needs of one, over a real connection."""

import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt import publish, subscribe

from tidegate.fleet.broker import LocalBroker, LocalBrokerError, embedded
from tidegate.fleet.watch import Watch
from tidegate.telemetry.topics import DeviceTopics

pytest.importorskip("iotcore", reason="iotcore has no wheel for this platform")


def test_retained_messages_and_what_a_session_missed_arrive(tmp_path: Path) -> None:
    with LocalBroker(tmp_path, program=embedded) as broker:
        port = broker.port
        publish.single("kept", "yes", qos=1, retain=True, hostname="127.0.0.1", port=port, protocol=mqtt.MQTTv5)
        message = subscribe.simple("kept", hostname="127.0.0.1", port=port, protocol=mqtt.MQTTv5)
        assert not isinstance(message, list)
        assert message.payload == b"yes"
        with Watch(broker.address, "camera") as watch:
            topic = DeviceTopics("camera").telemetry
            publish.single(topic, '{"seq": 1}', qos=1, hostname="127.0.0.1", port=port, protocol=mqtt.MQTTv5)
            watch.wait_for({1}, 5)
            assert watch.lost({1, 2}) == {2}


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from tidegate.fleet.broker import LocalBroker, embedded\n"
        f"broker = LocalBroker(Path({str(tmp_path)!r}), program=embedded); broker.start()\n"
        "print(broker.process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        broker = Path("/proc") / starter.stdout.readline().strip()
        if not broker.exists():
            pytest.skip("this system has no /proc to look the process up in")
        starter.kill()
    until = time.monotonic() + 10
    while broker.exists() and (broker / "cmdline").read_bytes() and time.monotonic() < until:
        time.sleep(0.05)
    assert not broker.exists() or not (broker / "cmdline").read_bytes()


def test_bad_settings_are_told_in_its_own_words() -> None:
    broker = LocalBroker(settings=("id = 'not a number'",), program=embedded)
    with pytest.raises(LocalBrokerError, match="did not accept connections"):
        broker.start()
    assert broker.log()
    broker.stop()
