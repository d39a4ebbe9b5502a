"""Commands as a user types them: what they print, and the exit code that a script reads."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from agent_process import BUNDLE, COMMAND_LINE, AgentProcess
from here import tidegate_here
from terminal import Terminal

from tidegate import child
from tidegate.paths import profiles_directory

pytestmark = pytest.mark.long


def tidegate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidegate.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


def test_policy_check_accepts_every_shipped_policy() -> None:
    for policy in sorted((profiles_directory() / "policies").glob("*.yaml")):
        checked = tidegate_here("policy", "check", policy)
        assert (checked.returncode, checked.stderr) == (0, ""), policy


def test_policy_check_says_where_what_and_what_is_allowed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    text = (profiles_directory() / "policies" / "demo.yaml").read_text()
    wrong.write_text(text.replace("urgent: true", "urgnet: true"))
    checked = tidegate_here("policy", "check", wrong)
    line = next(n for n, line in enumerate(text.splitlines(), 1) if "urgent: true" in line)
    assert checked.returncode == 78
    assert f"{wrong}:{line}:5" in checked.stderr
    assert "urgnet" in checked.stderr
    assert "urgent" in checked.stderr


def test_doctor_tells_readings_and_refusals_as_json() -> None:
    told = tidegate("doctor", "--json")
    assert told.returncode == 0
    drivers = json.loads(told.stdout)
    readings = {name: reading for driver in drivers.values() for name, reading in driver["readings"].items()}
    assert readings["memory_available"]["value"] > 0
    assert all((reading["value"] is None) == bool(reading["reason"]) for reading in readings.values())
    refusals = [refusal for driver in drivers.values() for refusal in driver["refusals"]]
    assert all(refusal["reason"] for refusal in refusals)


def test_bundle_inspect_and_verify_the_shipped_bundle() -> None:
    ladder = json.loads(tidegate_here("bundle", "inspect", BUNDLE, "--json").stdout)
    assert len(ladder["points"]) >= 5
    verified = tidegate_here("bundle", "verify", BUNDLE)
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.count("ok: canaries at ") == len(ladder["points"])


def test_bundle_verify_refuses_a_changed_file(tmp_path: Path) -> None:
    copy = tmp_path / "digits"
    copy.mkdir()
    for file in BUNDLE.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = copy / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    verified = tidegate_here("bundle", "verify", copy)
    assert verified.returncode == 65
    assert "weights.safetensors: sha256" in verified.stdout


def test_status_without_an_agent_says_what_to_do(tmp_path: Path) -> None:
    told = tidegate_here("status", "--state-dir", tmp_path)
    assert told.returncode == 69
    assert "no agent is running here" in told.stderr


class ByCommandLine(AgentProcess):
    """Started as a user starts it."""

    program = COMMAND_LINE


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One for the tests that only ask it; SIGTERM ends it with 0."""
    started = ByCommandLine(tmp_path_factory.mktemp("agent"), None, {})
    started.start()
    yield started
    assert started.end() == 0


def test_ready_says_where_it_listens(agent: AgentProcess) -> None:
    (ready,) = [line for line in agent.log().splitlines() if "ready: " in line]
    assert "ready: digits at full by policy plain version 1" in ready
    assert "http://127.0.0.1:" in ready
    assert f"the Unix socket {agent.directory / 'tidegate.sock'}" in ready
    assert str(agent.state_dir / "status.sock") in ready


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's variables")
def test_what_keeps_the_supervisor_small_is_not_the_workers(agent: AgentProcess) -> None:
    pid = agent.status().worker.pid
    assert pid is not None
    supervisor, worker = (psutil.Process(each).environ() for each in (agent.pid, pid))
    assert supervisor.items() >= {**child.LEAN, **child.WAITING}.items()
    assert worker.items() >= child.LEAN.items()
    assert not worker.keys() & child.WAITING.keys()


def test_run_serves_and_keeps_a_second_one_out(agent: AgentProcess) -> None:
    assert agent.ask()[0] == 200
    second = tidegate("run", "--config", agent.config)
    assert second.returncode == 69
    assert "another agent is using it" in second.stderr
    assert agent.ask()[0] == 200


def test_status_in_a_small_terminal_shows_what_matters_and_piped_all_of_it(agent: AgentProcess) -> None:
    command = [sys.executable, "-m", "tidegate.cli.main", "status", "--config", str(agent.config)]
    with Terminal(command, 80, 24) as terminal:
        assert not terminal.follow(60)
        assert terminal.process.wait(10) == 0
        lines = [line.rstrip() for line in terminal.screen.display]
    starts = ["device", "battery", "temperature", "power source", "point", "certified risk", "because"]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=False)] == starts
    assert any(line.startswith("last decision") for line in lines)
    assert lines[-1] == ""  # where the next prompt goes
    piped = tidegate("status", "--config", agent.config)
    assert piped.returncode == 0, piped.stderr
    assert "full" in piped.stdout
    assert "…" not in piped.stdout
    assert "\x1b" not in piped.stdout
    assert piped.stdout.count("memory available") == 1


def test_a_message_in_a_terminal_is_broken_between_words() -> None:
    command = [sys.executable, "-m", "tidegate.cli.main", "bundle", "inspect", str(BUNDLE)]
    with Terminal(command, 80, 40) as terminal:
        assert not terminal.follow(60)
        assert terminal.process.wait(10) == 0
        lines = [line.rstrip() for line in terminal.screen.display]
    piped = tidegate_here("bundle", "inspect", BUNDLE).stdout
    assert piped.splitlines()[0] == " ".join(lines[: lines.index("digits: ladder")]).partition(" task:")[0]
    words = {*piped.split(), *["operating", "point", "blocks", "skipped"]}
    assert [word for line in lines for word in line.split() if word not in words and set(word) != {"─"}] == []


def test_run_refuses_a_wrong_configuration(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("device: a/b\nbundle: nowhere\npolicy: none.yaml\nlisten: {tcp: 0}\n")
    refused = tidegate("run", "--config", config)
    assert refused.returncode == 78
    assert f"{config}:1:9" in refused.stderr


def test_run_says_when_the_bundle_is_missing(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"device: a\nbundle: nowhere\npolicy: none.yaml\nlisten: {{tcp: 0}}\nstate_dir: {tmp_path}\n"
    )
    refused = tidegate("run", "--config", config)
    assert refused.returncode == 69
    assert "nowhere: is not a directory" in refused.stderr
