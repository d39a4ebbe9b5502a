"""An agent announces itself to Home Assistant, does what is asked there, takes back what goes out of agent.yaml,
and leaves when that is turned off.
"""

import json
import queue
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from agent_process import BELOW_FULL, BUNDLE, AgentProcess
from here import tidegate_here
from jinja2 import Environment
from paho.mqtt import publish
from paho.mqtt.client import MQTTMessage

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.listener import Listener
from tidegate.telemetry.payloads.home_assistant import STATUS, discovery_topic
from tidegate.telemetry.topics import DeviceTopics

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker

HOME_ASSISTANT = "tidegate.supervisor.home_assistant"
SOON = {
    f"{HOME_ASSISTANT}.AGAIN_WITHIN_S": 0.5,
    f"{HOME_ASSISTANT}.LOOK_S": 0.5,
    f"{HOME_ASSISTANT}.FIRST_READINGS_S": 1.0,
    f"{HOME_ASSISTANT}.STAYS_S": 0.2,
}
REMOVED = {"platform": "sensor"}
WHAT = ("point", "state")


class Announced:
    """What is said to Home Assistant: the configs as they come, and the last report."""

    def __init__(self, broker: LocalBroker) -> None:
        self.configs: queue.Queue[bytes] = queue.Queue()
        self.report: dict[str, object] = {}
        self._topic = discovery_topic(AgentProcess.device)
        topics = (self._topic, DeviceTopics(AgentProcess.device).reported)
        self._listener = Listener(broker.address, "test", topics, self._take)

    def _take(self, message: MQTTMessage) -> None:
        if message.topic == self._topic:
            self.configs.put(bytes(message.payload))
        else:
            self.report = json.loads(message.payload)

    def next(self) -> dict[str, dict[str, object]]:
        """The next config's components."""
        components: dict[str, dict[str, object]] = json.loads(self.configs.get(timeout=30))["components"]
        return components

    def __enter__(self) -> "Announced":
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.stop()


def shown(component: Mapping[str, object], option: str, report: Mapping[str, object]) -> str:
    """What an entity shows of the report."""
    return Environment(autoescape=False).from_string(str(component[option])).render(value_json=report)


def of_models(components: Mapping[str, Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
    return {name: each for name, each in components.items() if name.startswith("model_")}


def test_models_come_and_go_with_agent_yaml(start_agent: StartAgent, broker: LocalBroker, tmp_path: Path) -> None:
    def model(name: str) -> dict[str, str]:
        return {"name": name, "bundle": str(BUNDLE), "load": "on_request"}

    def only(*models: dict[str, str]) -> None:
        settings = yaml.safe_load(agent.config.read_text())
        agent.config.write_text(yaml.safe_dump({**settings, "models": list(models)}))

    broken = {"name": "broken", "bundle": str(tmp_path / "nowhere")}
    with Announced(broker) as announced:
        two = (model("night.v2"), model("night_v2"))
        agent = start_agent(broker, constants=SOON, home_assistant=True, models=[*two, broken])
        components = announced.next()
        ids = {f"model_{each}_{what}" for each in ("night_2ev2", "night_5fv2", "broken") for what in WHAT}
        assert of_models(components).keys() == ids
        agent.wait_until(lambda _: len(announced.report.get("models", ())) == 3)
        state = components["model_broken_state"]
        assert state["state_topic"] == DeviceTopics(AgentProcess.device).reported
        assert shown(state, "value_template", announced.report) == "failed"
        reason = json.loads(shown(state, "json_attributes_template", announced.report))["reason"]
        assert "is not a directory" in reason
        assert shown(components["model_night_2ev2_state"], "value_template", announced.report) == "unloaded"
        assert shown(components["model_night_2ev2_point"], "value_template", announced.report) == "None"

        only(*two)
        assert tidegate_here("reload", "--config", agent.config).returncode == 0
        forgotten = {"model_broken_point": REMOVED, "model_broken_state": REMOVED}
        left = {name: each for name, each in components.items() if name not in forgotten}
        assert announced.next() == {**left, **forgotten}
        assert announced.next() == left, "said once"

        only(two[0], {**broken, "name": "worse"})
        assert tidegate_here("reload", "--config", agent.config).returncode == 78
        only(two[0])
        agent.kill()
        agent.start()
        again = announced.next()
        forgotten = {"model_night_5fv2_point": REMOVED, "model_night_5fv2_state": REMOVED}
        assert again == {**{name: again[name] for name in left}, **forgotten}, "also over a restart"
        left = {name: each for name, each in again.items() if name not in forgotten}
        assert announced.next() == left
        assert announced.configs.empty()


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
