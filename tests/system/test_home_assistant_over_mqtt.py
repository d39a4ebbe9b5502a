"""An agent announces itself to Home Assistant, does what is asked there, and leaves when that is turned off."""

import json
import queue
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from agent_process import BELOW_FULL, AgentProcess
from paho.mqtt import publish

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.listener import Listener
from tidegate.telemetry.payloads.home_assistant import STATUS, discovery_topic

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker

HOME_ASSISTANT = "tidegate.supervisor.home_assistant"
SOON = {f"{HOME_ASSISTANT}.AGAIN_WITHIN_S": 2.0, f"{HOME_ASSISTANT}.LOOK_S": 2.0}


def test_it_is_announced_held_and_removed(start_agent: StartAgent, broker: LocalBroker) -> None:
    configs: queue.Queue[bytes] = queue.Queue()
    topic = discovery_topic(AgentProcess.device)
    listener = Listener(broker.address, "test", (topic,), lambda message: configs.put(bytes(message.payload)))
    listener.start()

    def say(to: str, payload: str, *, retain: bool = False) -> None:
        publish.single(to, payload, qos=1, retain=retain, hostname="127.0.0.1", port=broker.port)

    agent = start_agent(broker, constants=SOON, home_assistant=True, remote_hold=True)
    config = json.loads(configs.get(timeout=30))
    assert BELOW_FULL in config["components"]["operating_point"]["options"]
    hold = config["components"]["operating_point"]["command_topic"]

    say(STATUS, "online")
    assert json.loads(configs.get(timeout=30)) == config, "said again to a Home Assistant that has started"

    say(hold, BELOW_FULL)
    assert agent.wait_until(lambda status: status.point == BELOW_FULL).held_at == BELOW_FULL
    say(hold, "no such point")
    refused = agent.wait_until(lambda status: any("can't be held" in str(e["text"]) for e in status.recent))
    assert refused.held_at == BELOW_FULL
    say(hold, config["components"]["policy_paused"]["payload_off"])
    agent.wait_until(lambda status: (status.point, status.held_at) == ("full", None))

    agent.end()
    settings = yaml.safe_load(agent.config.read_text())
    agent.config.write_text(yaml.safe_dump({**settings, "home_assistant": False, "remote_hold": False}))
    agent.start()
    assert configs.get(timeout=30) == b""
    say(hold, BELOW_FULL)
    assert agent.status().held_at is None
    wait_gone(agent.state_dir / "home_assistant", agent)
    listener.stop()


def wait_gone(path: Path, agent: AgentProcess) -> None:
    agent.wait_until(lambda _: not path.exists(), 30)
