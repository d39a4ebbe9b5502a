"""Numbers that others publish decide what the model does, for their time and no longer, over a real broker."""

from collections.abc import Callable
from pathlib import Path

import pytest
from agent_process import BELOW_FULL, PLAIN_POLICY, AgentProcess
from paho.mqtt import publish

from tidegate.fleet.broker import LocalBroker
from tidegate_drivers.reading import Freshness

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker

CROWD = f"""\
rules:
  - name: crowd
    when: {{input: {{name: people, above: 3, until: 1}}}}
    use: {BELOW_FULL}
"""


def test_a_published_number_moves_the_model_until_it_is_stale(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(PLAIN_POLICY + CROWD)
    agent = start_agent(broker, inputs={"max_age": "3 s"})
    topic = f"tidegate/{agent.device}/input/people"

    def say(payload: str) -> None:
        publish.single(topic, payload, hostname="127.0.0.1", port=broker.port)

    assert agent.wait_until(lambda status: status.telemetry.link == "online").point == "full"
    say("5")
    status = agent.wait_until(lambda status: status.decision is not None and status.decision.rule == "crowd")
    assert status.readings["input/people"].value == 5.0
    assert agent.wait_until(lambda status: status.point == BELOW_FULL)
    stale = agent.wait_until(lambda status: status.readings["input/people"].freshness is Freshness.STALE)
    assert stale.explanation is not None
    agent.wait_until(lambda status: status.point == "full")

    say("a lot")
    refused = agent.wait_until(
        lambda status: any("input people is refused" in str(e["text"]) for e in status.recent)
    )
    assert refused.readings["input/people"].value == 5.0
    say('{"value": 4, "ttl_s": 60}')
    agent.wait_until(lambda status: status.point == BELOW_FULL)
    say('{"value": 0.5, "ttl_s": 60}')
    agent.wait_until(lambda status: status.point == "full")
