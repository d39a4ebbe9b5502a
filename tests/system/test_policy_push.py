"""Policies pushed by the operator's command to a running agent, through a real broker."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_process import BELOW_FULL, ENGINE, PLAIN_POLICY, AgentProcess, pinned, rungs

from agent.fleet.broker import LocalBroker

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker


def push(file: Path, broker: LocalBroker, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "agent.cli.main",
        "policy",
        "push",
        str(file),
        "--device",
        AgentProcess.device,
    ]
    command += ["--broker", f"127.0.0.1:{broker.port}", "--wait", "20", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


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
    from agent.fleet.push import push as push_text  # noqa: PLC0415 - past the command's own check, on purpose
    from agent.telemetry.envelope import Target  # noqa: PLC0415

    agent = start_agent(broker, allow_unsigned=True)
    wrong = PLAIN_POLICY.replace("version: 1", "version: 3").replace("default:", "defualt:")
    result = push_text(broker.address, Target("device", agent.device), wrong, 3)
    assert result.outcome == "refused"
    assert "defualt" in result.reason
    assert "default" in result.reason
    status = agent.status()
    assert (status.policy.name, status.policy.version) == ("plain", 1)


def test_a_policy_that_names_the_point_of_another_engine_is_refused_and_reported(
    start_agent: StartAgent, broker: LocalBroker
) -> None:
    from agent.fleet.push import push as push_text  # noqa: PLC0415 - past the command's own check, on purpose
    from agent.telemetry.envelope import Target  # noqa: PLC0415

    agent = start_agent(broker, allow_unsigned=True)
    agent.wait_until(lambda status: status.worker.state == "serving")
    stranger = rungs("packed")[-1]
    result = push_text(broker.address, Target("device", agent.device), pinned(stranger, 3), 3)
    assert (result.outcome, stranger in result.reason) == ("refused", True)
    assert rungs(ENGINE)[-1] in result.reason
    assert agent.ask()[0] == 200


def test_command_refuses_a_wrong_file_before_anything_is_sent(broker: LocalBroker, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("tidegate: 1\nname: x\nversion: 0\n")
    pushed = push(file, broker)
    assert pushed.returncode == 78
    assert f"{file}:3:" in pushed.stderr
