"""A valid policy whose conditions take more words than the worker's channel: nothing ends over it."""

from collections.abc import Callable

import pytest
from agent_process import PLAIN_POLICY, AgentProcess

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.push import push
from tidegate.telemetry.payloads.envelope import Target, seal

pytestmark = pytest.mark.broker


def wordy(version: int) -> str:
    """13,500 characters whose reason, as JSON that knows ASCII alone, has more than 64 KiB."""
    zones = (f"{number:03d}".ljust(60, "\N{FIRE}") for number in range(128))
    conditions = ", ".join(f"{{temperature: {{zone: {zone}, below: 80 C, until: 90 C}}}}" for zone in zones)
    return (
        PLAIN_POLICY.replace("version: 1", f"version: {version}").replace("name: plain", "name: wordy")
        + "on_missing: {temperature: assume_cool}\n"
        + "rules:\n  - name: all\n    use: full\n    limit: {rate: 1000 Hz}\n"
        + f"    when: {{all: [{conditions}]}}\n"
    )


def test_a_policy_with_long_conditions_ends_no_worker(
    start_agent: Callable[..., AgentProcess], broker: LocalBroker
) -> None:
    agent = start_agent(broker, allow_unsigned=True)
    pid = agent.status().worker.pid
    text = wordy(2)
    assert len(text) < 14_500
    result = push(broker.address, seal(text, 2, Target("device", agent.device)))
    assert (result.outcome, result.reason) == ("accepted", "")
    status = agent.wait_until(lambda status: status.decision is not None and status.decision.rule == "all")
    assert status.decision is not None
    assert len(status.decision.reason) <= 1000
    assert status.decision.reason.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert agent.ask()[0] == 200
    after = agent.status().worker
    assert (after.pid, after.restarts) == (pid, 0)
