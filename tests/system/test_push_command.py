"""`tidegate policy push` as an operator types it: a mistake is one line with the next step, never a traceback."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_process import PLAIN_POLICY, AgentProcess
from here import tidegate_here

from tidegate.fleet.broker import LocalBroker

StartAgent = Callable[..., AgentProcess]


def push(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidegate.cli.main", "policy", "push", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    file = tmp_path / "policy.yaml"
    file.write_text(PLAIN_POLICY.replace("version: 1", "version: 4"))
    return str(file)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--device", "cam-1", "--ca", "nope.pem"), 64, ("nope.pem", "--ca")),
        (("--device", "cam-1", "--ca", "{policy}"), 64, ("no PEM certificate", "--ca")),
        (("--device", "cam-1", "--ca", "/"), 64, ("--ca",)),
        (("--device", "cam-1", "--password-file", "nope", "--username", "x"), 64, ("nope",)),
        (("--device", "cam-1", "--broker", "no-such-host.invalid"), 69, ("no such host", "--broker")),
        (("--device", "cam-1", "--broker", "127.0.0.1:1"), 69, ("nothing listens", "--broker")),
        (("--fleet", "--broker", "127.0.0.1:1"), 69, ("nothing listens",)),
        (("--device", "a/b"), 64, ("device id", "allowed")),
        (("--device", ""), 64, ("device id",)),
        (("--group", ""), 64, ("group name",)),
        (("--group", "a b"), 64, ("group name",)),
    ],
)
def test_a_mistake_is_a_line_with_the_next_step(
    policy: str, arguments: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    done = tidegate_here("policy", "push", policy, *(argument.format(policy=policy) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stderr.count("\n") <= 2, done.stderr


@pytest.mark.broker
def test_a_wrong_password(mosquitto: None, policy: str, tmp_path: Path) -> None:
    passwords, wrong = tmp_path / "passwords", tmp_path / "wrong"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "ops", "right"], check=True, capture_output=True)
    wrong.write_text("guess\n")
    with LocalBroker(settings=("allow_anonymous false", f"password_file {passwords}")) as strict:
        who = ("--username", "ops", "--password-file", str(wrong))
        done = push(policy, "--device", "cam-1", "--broker", f"127.0.0.1:{strict.port}", *who)
    assert done.returncode == 69
    assert "user name or password is wrong" in done.stderr
    assert "--password-file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.broker
def test_a_group_of_real_agents(start_agent: StartAgent, broker: LocalBroker, policy: str) -> None:
    agent = start_agent(broker, allow_unsigned=True, groups=["barn"])
    agent.wait_until(lambda status: status.telemetry.link == "online")
    where = ("--broker", f"127.0.0.1:{broker.port}")
    done = tidegate_here("policy", "push", policy, "--group", "barn", *where, "--timeout", "30")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 took it" in done.stdout
    assert agent.status().policy.version == 4

    Path(policy).write_text(PLAIN_POLICY.replace("version: 1", "version: 3"))
    older = tidegate_here("policy", "push", policy, "--fleet", *where, "--timeout", "30")
    assert older.returncode == 65
    assert "0 of 1 took it" in older.stderr
    assert "camera-1: version 3 is older" in older.stderr

    nobody = tidegate_here("policy", "push", policy, "--group", "empty", *where, "--timeout", "1")
    assert nobody.returncode == 75
    assert "no device of this group" in nobody.stderr
