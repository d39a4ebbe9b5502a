"""Another agent.yaml under a serving agent: in force with nothing dropped, or refused with nothing changed."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from agent_process import BELOW_FULL, BUNDLE, PLAIN_POLICY, AgentProcess, Load, pinned
from here import Ended, tidegate_here
from notify_socket import NotifySocket
from wrong_bundle import wrong_canaries

from tidegate.fleet.broker import LocalBroker, find_mosquitto
from tidegate.models.bundle import open_bundle

StartAgent = Callable[..., AgentProcess]


def change(agent: AgentProcess, **settings: object) -> None:
    document = yaml.safe_load(agent.config.read_text())
    agent.config.write_text(yaml.safe_dump({**document, **settings}))


def reload(agent: AgentProcess) -> Ended:
    return tidegate_here("reload", "--config", agent.config)


def other_bundle(directory: Path) -> str:
    """Another bundle by the same name, with other labels; its hash."""
    shutil.copytree(BUNDLE, directory)
    manifest = json.loads((directory / "bundle.json").read_text())
    manifest["labels"] = [f"digit {label}" for label in manifest["labels"]]
    (directory / "bundle.json").write_text(json.dumps(manifest))
    return open_bundle(directory).sha256


def test_another_policy_bundle_and_worker_come_into_force_with_no_request_lost(
    start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent()
    before = agent.status()
    new = other_bundle(tmp_path / "other")
    (tmp_path / "policy.yaml").write_text(pinned(BELOW_FULL, 2))
    change(agent, bundle=str(tmp_path / "other"), worker={"engine": "onnx", "keep_resident": "8 MiB"})
    with Load(agent) as load:
        load.wait_served(20)
        done = reload(agent)
        load.wait_served(40)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"bundle digits ({new[:12]}" in done.stdout
    assert f"policy pinned-{BELOW_FULL} version 2 (local)" in done.stdout
    status = agent.wait_until(lambda status: status.point == BELOW_FULL)
    assert status.policy.version == 2
    assert status.worker.pid != before.worker.pid
    assert status.worker.restarts == 0, "no worker ended unasked"
    assert status.uptime_s > before.uptime_s, "the agent is the same"
    assert (load.summary.failed, load.summary.retried) == (0, 0)
    agent.kill_worker()
    agent.wait_until(lambda now: now.worker.state == "serving" and now.worker.pid != status.worker.pid, 60)
    assert agent.ask()[0] == 200, "the next worker serves the new bundle as well"
    assert reload(agent).stdout == "reloaded: nothing has changed\n"


WRONG = {
    "a key": ({"devise": "x"}, "devise"),
    "the bundle": ({"bundle": "/nowhere"}, "/nowhere"),
    "the policy": ({"policy": "other.yaml"}, "no such point on the ladder"),
    "the password": ({"broker": {"host": "h", "username": "u", "password_file": "none"}}, "can't be read"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_leaves_what_runs_and_is_told_everywhere(shared_agent: AgentProcess, wrong: str) -> None:
    settings, told = WRONG[wrong]
    agent = shared_agent
    (agent.directory / "other.yaml").write_text(PLAIN_POLICY.replace("{use: full}", "{use: fulll}"))
    before, text = agent.status(), agent.config.read_text()
    assert before.troubles == ()
    assert told not in agent.log()
    change(agent, **settings)
    done = reload(agent)
    assert done.returncode == 78
    assert told in done.stderr
    assert "the agent goes on as before" in done.stderr
    status = agent.status()
    assert (status.worker.pid, status.policy) == (before.worker.pid, before.policy)
    assert [each.part for each in status.troubles] == ["agent.yaml"]
    assert told in status.troubles[0].because
    assert told in agent.log()
    assert agent.ask()[0] == 200
    put_back(agent, text)


def test_a_bundle_whose_worker_does_not_answer_rightly_is_refused_while_the_old_one_serves(
    shared_agent: AgentProcess, tmp_path: Path
) -> None:
    agent = shared_agent
    before, text = agent.status().worker.pid, agent.config.read_text()
    wrong_canaries(tmp_path / "wrong")
    change(agent, bundle=str(tmp_path / "wrong"))
    done = reload(agent)
    assert done.returncode == 78
    assert "no operating point answers right here" in done.stderr
    assert agent.status().worker.pid == before
    assert agent.ask()[0] == 200
    put_back(agent, text)


def test_what_needs_a_restart_is_named(shared_agent: AgentProcess, tmp_path: Path) -> None:
    agent = shared_agent
    text = agent.config.read_text()
    change(agent, listen={"unix": str(tmp_path / "elsewhere.sock")}, telemetry={"window": "2 s"})
    done = reload(agent)
    assert done.returncode == 0
    assert done.stdout == "reloaded: telemetry\nin force after a restart only: listen\n"
    assert agent.status().troubles[0].because == "in force after a restart only: listen"
    put_back(agent, text)


def put_back(agent: AgentProcess, text: str) -> None:
    agent.config.write_text(text)
    assert reload(agent).returncode == 0
    assert agent.status().troubles == ()


def test_sighup_reloads_and_systemd_hears_of_it(
    start_agent: StartAgent, tmp_path: Path, systemd: NotifySocket
) -> None:
    agent = start_agent()
    systemd.wait_for("READY=1")
    (tmp_path / "policy.yaml").write_text(pinned(BELOW_FULL, 2))
    os.kill(agent.pid, signal.SIGHUP)
    assert int(systemd.wait_for("RELOADING=1")["MONOTONIC_USEC"]) > 0
    systemd.wait_for("READY=1")
    assert agent.wait_until(lambda status: status.point == BELOW_FULL).policy.version == 2


@pytest.mark.broker
@pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")
def test_another_broker_gets_what_the_first_one_did_not(start_agent: StartAgent, tmp_path: Path) -> None:
    with LocalBroker() as first, LocalBroker() as second:
        agent = start_agent(first)
        agent.wait_until(lambda status: status.telemetry.link == "online")
        first.kill()
        agent.wait_until(lambda status: (status.telemetry.waiting or 0) >= 3)
        change(agent, broker={"host": "127.0.0.1", "port": second.port}, groups=["north"])
        done = reload(agent)
        assert done.stdout == f"reloaded: broker 127.0.0.1:{second.port}; groups\n"
        status = agent.wait_until(lambda status: status.telemetry.link == "online", 60)
        assert status.telemetry.broker == f"127.0.0.1:{second.port}"
        status = agent.wait_until(lambda status: (status.telemetry.waiting or 0) <= 1, 60)
        assert status.telemetry.dropped == {}
