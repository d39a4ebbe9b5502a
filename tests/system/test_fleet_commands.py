"""`tidegate fleet` against a real broker: what is retained, what comes in meanwhile, on a terminal of 80 by 24."""

import json
import threading
import time

import pytest
from paho.mqtt import publish
from terminal import Terminal
from typer.testing import CliRunner

from tidegate import child
from tidegate.cli.main import application
from tidegate.fleet.broker import LocalBroker
from tidegate.telemetry.payloads.device_status import DeviceStatus
from tidegate.telemetry.payloads.document import to_json
from tidegate.telemetry.payloads.reported import PolicyState, Reported
from tidegate.telemetry.payloads.window import Window

pytestmark = pytest.mark.broker

REPORTED = Reported("0.2.0", PolicyState(7, "ab" * 32, "accepted"), operating_point="int8", groups=("north",))
EVENT = {"at": "2027-01-15T08:00:00.000+00:00", "kind": "switch", "text": "full to int8", "seq": 4}


def retain(broker: LocalBroker, name: str, state: str) -> None:
    status = DeviceStatus("online" if state == "online" else "offline", 1, time.time() - 60)
    publish.multiple(
        [
            (f"tidegate/{name}/status", status.to_payload(), 1, True),
            (f"tidegate/{name}/reported", to_json(REPORTED.to_document()), 1, True),
        ],
        hostname="127.0.0.1",
        port=broker.port,
    )


def say(broker: LocalBroker, topic: str, document: dict[str, object]) -> None:
    publish.single(topic, to_json(document), qos=1, hostname="127.0.0.1", port=broker.port)


def fleet(broker: LocalBroker, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(application("fleet"), ["fleet", *arguments, "--broker", f"127.0.0.1:{broker.port}"])
    return done.exit_code, done.output


def test_status_tells_who_is_there_and_75_of_nobody(broker: LocalBroker) -> None:
    code, said = fleet(broker, "status", "--group", "north")
    assert (code, "no device of group north" in said) == (75, True)
    retain(broker, "cam-1", "online")
    retain(broker, "cam-2", "offline")
    code, said = fleet(broker, "status", "--json")
    devices = {each["device"]: each for each in json.loads(said)["devices"]}
    assert code == 0
    assert {name: each["state"] for name, each in devices.items()} == {"cam-1": "online", "cam-2": "offline"}
    assert devices["cam-1"]["reported"]["operating_point"] == "int8"
    code, said = fleet(broker, "status", "--group", "north")
    assert (code, said.splitlines()[0]) == (0, "2 devices: 1 online, 1 offline")


def test_tail_prints_events_as_they_come(broker: LocalBroker) -> None:
    stop = threading.Event()

    def speak() -> None:
        while not stop.wait(0.2):
            say(broker, "tidegate/cam-1/event", {**EVENT, "kind": "fault"})
            say(broker, "tidegate/cam-1/event", EVENT)

    speaker = threading.Thread(target=speak)
    speaker.start()
    code, said = fleet(broker, "tail", "--kind", "switch", "--count", "2", "--json")
    stop.set()
    speaker.join()
    lines = [json.loads(line) for line in said.splitlines()]
    assert (code, [(line["device"], line["kind"]) for line in lines]) == (0, [("cam-1", "switch")] * 2)


def test_watch_needs_a_terminal(broker: LocalBroker) -> None:
    code, said = fleet(broker, "watch")
    assert (code, "needs a terminal" in said) == (64, True)


def test_the_watched_fleet_changes_on_a_screen_of_80_by_24(broker: LocalBroker) -> None:
    for number in range(30):
        retain(broker, f"cam-{number:02}", "offline" if number == 29 else "online")
    command = child.command("tidegate.cli.main", "fleet", "watch", "--broker", f"127.0.0.1:{broker.port}")
    with Terminal(command, 80, 24) as terminal:
        until = time.monotonic() + 60
        while "30 devices: 29 online, 1 offline; 10 more below" not in terminal.text():
            assert terminal.follow(0.5), terminal.text()
            assert time.monotonic() < until, terminal.text()
        assert terminal.screen.display[3].startswith("cam-29"), "who is in trouble comes first"
        window = Window(time.time(), 10.0, "int8", 7, "serving", 0, 0, readings={"battery": 41.0})
        say(broker, "tidegate/cam-29/telemetry", window.to_document())
        while "41 %" not in terminal.screen.display[3]:
            assert terminal.follow(0.5), terminal.text()
            assert time.monotonic() < until, terminal.text()
