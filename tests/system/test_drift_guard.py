"""A point that disagrees more than it is certified for is demoted: said, reported, and kept over a restart."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_process import ENGINE, PLAIN_POLICY, AgentProcess, rungs
from here import Ended, tidegate_here
from paho.mqtt import subscribe

from tidegate.fleet.broker import LocalBroker

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker

GUARDED = """\
drift_guard: {share: 100 %}
rules:
  - name: straight down
    when: {power_source: external}
    use: cheapest
    urgent: true
"""
PLUGGED = "time_s,power_source\n0,external\n60,external\n"
BATCH = 32
BOUND_S = 60.0


def noise(chance: random.Random) -> list[int]:
    """Images of another kind than the digits of the calibration."""
    return [chance.randrange(17) for _ in range(64 * BATCH)]


def drift(agent: AgentProcess, *options: str) -> Ended:
    return tidegate_here("policy", "drift", "--config", agent.config, *options)


def test_inputs_of_another_kind_demote_the_point_for_good(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(PLAIN_POLICY + GUARDED)
    (tmp_path / "plugged.csv").write_text(PLUGGED)
    agent = start_agent(broker, replay={"trace": str(tmp_path / "plugged.csv")})
    cheapest = rungs(ENGINE)[-1]
    agent.wait_until(lambda status: status.point == cheapest)
    chance, deadline = random.Random(5), time.monotonic() + BOUND_S
    while not agent.status().demotions:
        assert time.monotonic() < deadline
        assert agent.ask(noise(chance))[0] == 200
    status = agent.wait_until(lambda status: status.point != cheapest)
    assert [each.point for each in status.demotions] == [cheapest]
    assert any(
        event["kind"] == "fault" and f"{cheapest} is demoted" in str(event["text"]) for event in status.recent
    )
    assert status.explanation is not None
    assert any(f"{cheapest} is off the ladder" in sentence for sentence in status.explanation.sentences)

    agent.end()
    agent.start()
    status = agent.wait_until(lambda status: status.telemetry.link == "online")
    assert [each.point for each in status.demotions] == [cheapest]
    assert status.point != cheapest
    topic = f"tidegate/{agent.device}/reported"
    reported = json.loads(subscribe.simple(topic, hostname="127.0.0.1", port=broker.port).payload)
    assert reported["demoted"] == [cheapest]
    # What a rollout judges by: kept over the restart, since the policy is the same.
    (compared,) = (each for each in reported["compared"] if each["point"] == cheapest)
    assert compared["disagreed"] > compared["allowed"] * compared["seen"] > 0

    assert f"{cheapest}: off the ladder since" in drift(agent).stdout
    assert drift(agent, "--forget", cheapest).returncode == 0
    agent.wait_until(lambda status: status.point == cheapest)
    assert agent.status().demotions == ()
