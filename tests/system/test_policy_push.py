"""Policies pushed by the operator's command to a running agent, through a real broker."""

from collections.abc import Callable
from pathlib import Path

import pytest
from agent_process import BELOW_FULL, PLAIN_POLICY, AgentProcess, pinned
from here import Ended, tidegate_here

from tidegate.engines.runtime.installed import installed_engines
from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.push import push as push_envelope
from tidegate.fleet.watch import Watch
from tidegate.supervisor.updates.crash_loop import MOST_WHILE_NEW
from tidegate.telemetry.payloads.envelope import Target, seal

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker


def push(file: Path, broker: LocalBroker) -> Ended:
    where = ("--device", AgentProcess.device, "--broker", f"127.0.0.1:{broker.port}")
    return tidegate_here("policy", "push", file, *where, "--wait", "20")


def test_unsigned_push_is_refused_by_default(start_agent: StartAgent, broker: LocalBroker, tmp_path: Path) -> None:
    agent = start_agent(broker)
    file = tmp_path / "pushed.yaml"
    file.write_text(pinned(BELOW_FULL, 2))
    pushed = push(file, broker)
    assert pushed.returncode == 65
    assert "not signed" in pushed.stderr
    assert "allow_unsigned" in pushed.stderr
    status = agent.status()
    assert (status.policy.name, status.policy.version, status.policy_pushes_applied) == ("plain", 1, 0)


def test_pushes_are_tried_accepted_refused_and_never_cost_the_running_policy(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path
) -> None:
    agent = start_agent(broker, allow_unsigned=True)
    file = tmp_path / "pushed.yaml"

    file.write_text(pinned(BELOW_FULL, 5))
    assert push(file, broker).returncode == 0
    assert agent.wait_until(lambda status: status.point == BELOW_FULL).policy.version == 5

    again = push(file, broker)
    assert again.returncode == 0, "the same version and text are accepted already"
    assert agent.status().policy_pushes_applied == 1

    file.write_text(pinned("full", 4))
    downgrade = push(file, broker)
    assert downgrade.returncode == 65
    assert "older" in downgrade.stderr

    file.write_text(pinned("full", 5))
    assert push(file, broker).returncode == 65, "the same version with another text"

    status = agent.status()
    assert (status.policy.version, status.point) == (5, BELOW_FULL)

    agent.kill()
    agent.start()
    assert agent.status().policy.version == 5, "the accepted policy outlives the agent"


def test_a_policy_that_the_device_alone_finds_wrong_is_refused_and_reported(
    start_agent: StartAgent, broker: LocalBroker
) -> None:
    agent = start_agent(broker, allow_unsigned=True)
    wrong = PLAIN_POLICY.replace("version: 1", "version: 3").replace("default:", "defualt:")
    result = push_envelope(broker.address, seal(wrong, 3, Target("device", agent.device)))
    assert result.outcome == "refused"
    assert "defualt" in result.reason
    assert "default" in result.reason
    status = agent.status()
    assert (status.policy.name, status.policy.version) == ("plain", 1)


def test_a_policy_that_names_the_point_of_another_engine_is_refused_and_reported(
    start_agent: StartAgent, broker: LocalBroker
) -> None:
    # Which starts without torch.
    engine = "litert" if "litert" in installed_engines() else "eager"
    agent = start_agent(broker, allow_unsigned=True, worker={"engine": engine})
    agent.wait_until(lambda status: status.worker.state == "serving")
    stranger = BELOW_FULL
    result = push_envelope(broker.address, seal(pinned(stranger, 3), 3, Target("device", agent.device)))
    assert (result.outcome, stranger in result.reason) == ("refused", True)
    assert "allowed: full, cheapest" in result.reason
    assert agent.ask()[0] == 200


def test_workers_that_keep_ending_cost_an_accepted_policy_its_place(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path
) -> None:
    agent = start_agent(broker, allow_unsigned=True)
    file = tmp_path / "pushed.yaml"
    file.write_text(pinned(BELOW_FULL, 5))
    assert push(file, broker).returncode == 0
    for _ in range(MOST_WHILE_NEW):
        agent.wait_until(lambda status: status.worker.state == "serving", 30)
        agent.kill_worker()
        agent.wait_until(lambda status: status.worker.state != "serving")
    status = agent.wait_until(lambda status: status.policy.version == 1)
    assert status.policy.origin == "local"
    # What is retained may still be the acceptance from before.
    again = push(file, broker)
    assert again.returncode == 65
    assert "workers ended within" in again.stderr
    assert agent.wait_until(lambda status: status.worker.state == "serving", 30).point == "full"


def test_a_damaged_store_costs_the_policy_only_until_the_broker_is_reached(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path
) -> None:
    agent = start_agent(broker, allow_unsigned=True)
    file = tmp_path / "pushed.yaml"
    file.write_text(pinned(BELOW_FULL, 5))
    assert push(file, broker).returncode == 0
    agent.end()
    store = agent.state_dir / "policies.json"
    store.write_bytes(store.read_bytes()[:-50])
    agent.start()
    status = agent.wait_until(lambda status: status.policy.version == 5)
    told = [str(event["text"]) for event in status.recent]
    assert any("the accepted policy is lost" in text and "policies.json.damaged-1" in text for text in told)
    assert (agent.state_dir / "policies.json.damaged-1").exists()


def trusted(agent: AgentProcess, *options: str) -> Ended:
    return tidegate_here("policy", "trusted", "--config", agent.config, *options)


def test_the_owner_lowers_the_trusted_version_of_a_running_agent(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path
) -> None:
    agent = start_agent(broker, allow_unsigned=True)
    file = tmp_path / "pushed.yaml"
    file.write_text(pinned(BELOW_FULL, 900_000))
    assert push(file, broker).returncode == 0
    assert "above version 900000\n" in trusted(agent).stdout
    lowered = trusted(agent, "--set", "4")
    assert (lowered.returncode, lowered.stderr) == (0, "")
    assert "above version 4\n" in lowered.stdout
    told = [str(event["text"]) for event in agent.status().recent]
    assert "the trusted version was set by hand from 900000 to 4" in told
    file.write_text(pinned("full", 5))
    assert push(file, broker).returncode == 0


def test_the_owner_lowers_the_trusted_version_of_an_agent_that_does_not_run(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path
) -> None:
    with Watch(broker.address, AgentProcess.device) as witness:
        agent = start_agent(broker, allow_unsigned=True)
        file = tmp_path / "pushed.yaml"
        file.write_text(pinned(BELOW_FULL, 900_000))
        assert push(file, broker).returncode == 0
        agent.end()
        lowered = trusted(agent, "--set", "2")
        assert (lowered.returncode, lowered.stderr) == (0, "")
        assert "above version 2\n" in lowered.stdout
        agent.start()
        assert agent.status().policy.version == 900_000, "the accepted policy stays"
        file.write_text(pinned("full", 3))
        assert push(file, broker).returncode == 0
        drained = agent.wait_until(lambda status: status.telemetry.waiting == 0, 30)
        assert witness.wait_for(range(1, (drained.telemetry.spooled or 0) + 1), 10), "the event among them"


def test_command_refuses_a_wrong_file_before_anything_is_sent(broker: LocalBroker, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("tidegate: 1\nname: x\nversion: 0\n")
    pushed = push(file, broker)
    assert pushed.returncode == 78
    assert f"{file}:3:" in pushed.stderr
