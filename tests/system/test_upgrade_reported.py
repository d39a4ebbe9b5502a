"""An agent that was installed tells of the upgrade that failed before it came back, over a broker."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from agent_process import AgentProcess
from paho.mqtt import subscribe

from tidegate.fleet.broker import LocalBroker
from tidegate.import_path import ROOTS
from tidegate.last_trial import FILE_NAME, as_json, failed
from tidegate.telemetry.payloads.reported import FailedUpgrade, parse_reported

FAILED = failed("versions/2", "2026-11-28T12:00:00+00:00", "canary 3 got no answer", "the end")

pytestmark = pytest.mark.broker


class InstalledAgent(AgentProcess):
    """Run by the interpreter of an environment `versions/1`."""

    def command(self) -> list[str]:
        return [str(self.directory / "prefix/versions/1/bin/python"), *super().command()[1:]]


def install(prefix: Path) -> None:
    """An environment as an installation makes it, with this one's packages."""
    version = prefix / "versions/1"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(version)], check=True, timeout=60)
    (packages,) = version.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(
        "\n".join([*(each for each in sys.path if each.endswith("-packages")), *map(str, ROOTS)])
    )


def test_the_failed_version_its_reason_and_its_last_words_are_reported(
    broker: LocalBroker, tmp_path: Path
) -> None:
    install(tmp_path / "prefix")
    (tmp_path / "prefix" / FILE_NAME).write_text(as_json(FAILED))
    agent = InstalledAgent(tmp_path, broker, {})
    agent.start()
    try:
        status = agent.wait_until(lambda status: status.telemetry.link == "online")
        (event,) = (event for event in status.recent if event["kind"] == "upgrade")
        assert (event["version"], event["last_words"]) == ("versions/2", ["the end"])
        topic = f"tidegate/{agent.device}/reported"
        message = subscribe.simple(topic, hostname="127.0.0.1", port=broker.port, qos=1)
        found = parse_reported(message.payload).failed_upgrade
        assert found == FailedUpgrade(FAILED.version, FAILED.at, FAILED.reason, FAILED.last_words)
        assert json.loads(message.payload)["failed_upgrade"]["reason"] == "canary 3 got no answer"
    finally:
        assert agent.end() == 0
    agent.start()
    try:
        assert not [event for event in agent.status().recent if event["kind"] == "upgrade"]
    finally:
        agent.end()
