"""A bundle pushed over a real broker to a real agent: it serves, and costs what it changes."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from agent_process import ENGINE, PLAIN_POLICY, AgentProcess, pinned, rungs
from edited_bundle import edited_bundle
from here import Ended, tidegate_here

from tidegate.fleet.broker import LocalBroker
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.statement import PAYLOAD_TYPE, statement_of
from tidegate.trust.dsse import Envelope
from tidegate.trust.key_file import read_private, read_public

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker

BRIEF_TRIAL = {"tidegate.supervisor.app.TRIAL_S": 3.0}
ASLEEP = """\
rules:
  - name: always
    when: {memory_available: {above: 2 MB, until: 1 MB}}
    use: sleep
    wake: {request: true}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    assert tidegate_here("key", "new", "models").returncode == 0
    return desk


def push(broker: LocalBroker, bundle: Path, version: int, *more: str) -> Ended:
    where = ("--broker", f"127.0.0.1:{broker.port}", "--timeout", "60")
    named = ("--version", str(version), "--key", "models.key")
    return tidegate_here("bundle", "push", bundle, *named, *(more or ("--device", AgentProcess.device)), *where)


def test_a_pushed_bundle_serves_and_survives_a_restart(
    start_agent: StartAgent, broker: LocalBroker, desk: Path
) -> None:
    key = {"name": "models", "key": read_public(Path("models.pub")).text, "roles": ["bundle"]}
    agent = start_agent(broker, constants=BRIEF_TRIAL, trusted_keys=[key])
    agent.wait_until(lambda status: status.telemetry.link == "online")
    new = edited_bundle(desk / "new", 7.0)
    done = push(broker, new, 5)
    assert done.returncode == 0, done.stderr
    status = agent.status()
    assert status.bundle is not None
    assert (status.bundle.origin, status.bundle.version, status.bundle.signed_by) == ("pushed", 5, ("models",))
    assert agent.ask()[0] == 200
    agent.kill()
    agent.start()
    assert agent.status().bundle == status.bundle
    agent.wait_until(lambda now: now.telemetry.link == "online")
    older = push(broker, new, 4, "--fleet")
    assert (older.returncode, "0 of 1 took it" in older.stderr) == (65, True)
    assert "version 4 is older than the trusted version 5" in older.stderr


def sign_own_certificate(path: Path) -> None:
    """For the bundle that agents here begin with, of what its build has certified."""
    bundle = open_bundle(AgentProcess.bundle)
    held = {point.name: point.certificate for point in bundle.ladder.points if point.certificate is not None}
    statement = statement_of(
        bundle,
        held,
        data="yard",
        data_sha256="0" * 64,
        inputs=600,
        clip=1,
        labelled=0,
        delta=0.05,
        engines=(ENGINE,),
        placement="elsewhere",
        counted_at=datetime.now(UTC),
    )
    envelope = Envelope(PAYLOAD_TYPE, statement.model_dump_json().encode())
    path.write_bytes(envelope.signed_by([read_private(Path("models.key"))]).to_json())


def test_live_answers_that_refute_a_certificate_lead_back_and_cost_no_request(
    start_agent: StartAgent, broker: LocalBroker, desk: Path
) -> None:
    cheapest = rungs(ENGINE)[-1]
    (desk.parent / "policy.yaml").write_text(pinned(cheapest, 1))
    key = {"name": "models", "key": read_public(Path("models.pub")).text, "roles": ["bundle", "certificate"]}
    sign_own_certificate(desk / "own.json")
    agent = start_agent(broker, constants=BRIEF_TRIAL, trusted_keys=[key], certificate=str(desk / "own.json"))
    agent.wait_until(lambda status: status.telemetry.link == "online" and status.point == cheapest)
    before = agent.status().bundle
    statuses: list[int] = []
    done = threading.Event()

    def ask_noise() -> None:
        """Images of another kind than the digits of the calibration."""
        chance = random.Random(5)
        while not done.is_set():
            statuses.append(agent.ask([chance.randrange(17) for _ in range(64 * 50)])[0])
            time.sleep(0.05)

    asking = threading.Thread(target=ask_noise)
    asking.start()
    try:
        ended = push(broker, edited_bundle(desk / "new", 7.0), 5)
        time.sleep(1)
    finally:
        done.set()
        asking.join()
    assert (ended.returncode, f"on live requests, {cheapest} disagreed" in ended.stderr) == (65, True), ended
    assert set(statuses) == {200}
    status = agent.status()
    assert (status.bundle, status.demotions, status.point) == (before, (), cheapest)
    assert status.certificate is not None
    assert status.certificate.state == "in_force"


def test_a_device_that_sleeps_stays_up_for_the_trial_and_sleeps_again(
    start_agent: StartAgent, broker: LocalBroker, desk: Path
) -> None:
    (desk.parent / "policy.yaml").write_text(PLAIN_POLICY + ASLEEP)
    key = {"name": "models", "key": read_public(Path("models.pub")).text, "roles": ["bundle"]}
    agent = start_agent(broker, constants=BRIEF_TRIAL, trusted_keys=[key])
    agent.wait_until(lambda status: status.telemetry.link == "online" and status.worker.state == "asleep")
    done = push(broker, edited_bundle(desk / "new", 7.0), 5)
    assert done.returncode == 0, done.stderr
    status = agent.wait_until(lambda status: status.worker.state == "asleep")
    assert status.bundle is not None
    assert (status.bundle.origin, status.bundle.version, status.worker.restarts) == ("pushed", 5, 0)
