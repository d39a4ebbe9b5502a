"""Signed pushes as operators type them, to a real agent through a real broker: taken, or refused and why."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from agent_process import BELOW_FULL, AgentProcess, pinned
from here import Ended, tidegate_here

from tidegate.fleet.broker import LocalBroker
from tidegate.supervisor.control.cadence import LATEST_S
from tidegate.trust.key_file import read_public

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker

OPS, QA, BUNDLES, STRANGER = "ops", "qa", "bundles", "stranger"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the operator's keys and policies are."""
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    for name in (OPS, QA, BUNDLES, STRANGER):
        assert tidegate_here("key", "new", name).returncode == 0
    return desk


def trusted(name: str, *roles: str) -> dict[str, object]:
    return {"name": name, "key": read_public(Path(f"{name}.pub")).text, "roles": list(roles)}


@pytest.fixture
def agent(start_agent: StartAgent, broker: LocalBroker, desk: Path) -> AgentProcess:
    return start_agent(broker, trusted_keys=[trusted(OPS, "policy"), trusted(BUNDLES, "bundle")])


def push(broker: LocalBroker, file: str, *arguments: str, wait_s: int = 20) -> Ended:
    to = () if file.endswith(".json") else ("--device", AgentProcess.device)
    where = ("--broker", f"127.0.0.1:{broker.port}", "--wait", str(wait_s))
    return tidegate_here("policy", "push", file, *to, *arguments, *where)


@contextmanager
def publishing(broker: LocalBroker, topic: str, *, retain: bool = False) -> Iterator[Callable[[Path], None]]:
    """Publishes files to a topic as anybody may who reaches the broker."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield lambda file: client.publish(topic, file.read_bytes(), qos=1, retain=retain).wait_for_publish(10)
    client.loop_stop()
    client.disconnect()


def policy(version: int, point: str = BELOW_FULL) -> str:
    file = Path(f"policy-{version}.yaml")
    file.write_text(pinned(point, version))
    return str(file)


def test_from_no_key_to_a_signed_push(start_agent: StartAgent, broker: LocalBroker, desk: Path) -> None:
    """docs/signing.md, line by line."""
    agent = start_agent(broker)
    refused = push(broker, policy(5))
    assert (refused.returncode, "not signed" in refused.stderr, "--key" in refused.stderr) == (65, True, True)
    unknown = push(broker, policy(5), "--key", "ops.key")
    assert (unknown.returncode, "tidegate key trust" in unknown.stderr) == (65, True)
    assert tidegate_here("key", "trust", "ops.pub", "--config", agent.config).returncode == 0
    assert tidegate_here("reload", "--config", agent.config).returncode == 0
    taken = push(broker, policy(5), "--key", "ops.key")
    assert (taken.returncode, taken.stderr) == (0, "")
    status = agent.status()
    assert (status.policy.version, status.policy.signed_by, status.allow_unsigned) == (5, ("ops",), False)
    assert "signed by ops" in tidegate_here("status", "--config", agent.config).stdout
    assert "is in force, signed by ops" in str(status.recent)


def test_every_wrong_push_is_refused_with_its_reason_and_changes_nothing(
    agent: AgentProcess, broker: LocalBroker, desk: Path
) -> None:
    assert push(broker, policy(5), "--key", "ops.key").returncode == 0
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    sealed = ("policy", "sign", policy(6), "--device", agent.device, "--key", "ops.key", "-o")
    assert tidegate_here(*sealed, "tampered.json").returncode == 0
    tampered = json.loads(Path("tampered.json").read_text())
    good = tampered["signatures"][0]["sig"]
    tampered["signatures"][0]["sig"] = ("B" if good[0] == "A" else "A") + good[1:]
    Path("tampered.json").write_text(json.dumps(tampered))
    wrong = {
        "not_signed": (policy(6), (), "not signed"),
        "unknown_key": (policy(6), ("--key", "stranger.key"), "trusted: ops, bundles"),
        "wrong_role": (policy(6), ("--key", "bundles.key"), "bundles may sign bundle"),
        "bad_signature": ("tampered.json", (), "not that of ops"),
        "expired": (policy(6), ("--key", "ops.key", "--expires", past), "it expired at"),
        "downgrade": (policy(4), ("--key", "ops.key"), "older than the trusted version 5"),
        "other_text": (policy(5, "full"), ("--key", "ops.key"), "another text"),
        "too_far_ahead": (policy(2**40), ("--key", "ops.key"), "too far ahead"),
    }
    waited_s = []
    for count, (refusal, (file, arguments, words)) in enumerate(wrong.items(), start=1):
        before = time.monotonic()
        ended = push(broker, file, *arguments)
        waited_s.append(time.monotonic() - before)
        assert (ended.returncode, words in ended.stderr) == (65, True), (refusal, ended)
        status = agent.status()
        assert (status.policy.version, status.point) == (5, BELOW_FULL), refusal
        assert status.refusals[refusal] == 1
        assert sum(status.refusals.values()) == count
        assert status.recent[-1]["refusal"] == refusal
    assert min(waited_s) < LATEST_S - 0.5, "a verdict does not wait for the next idle step"

    # The policy in force, which its own signer may push again, and no stranger.
    in_force = policy(5)
    assert push(broker, in_force, "--key", "stranger.key").returncode == 65
    assert push(broker, in_force, "--key", "ops.key").returncode == 0

    # Whoever may publish can copy what was signed for another device to this one's topic.
    sign = ("policy", "sign", policy(6), "--device", "camera-2", "--key", "ops.key", "-o", "other.json")
    assert tidegate_here(*sign).returncode == 0
    with publishing(broker, f"tidegate/{agent.device}/policy") as publish:
        publish(Path("other.json"))
    status = agent.wait_until(lambda status: "wrong_target" in status.refusals)
    assert (status.refusals["wrong_target"], status.policy.version) == (1, 5)


def test_a_newer_push_overtakes_a_trial_that_hangs(agent: AgentProcess, broker: LocalBroker, desk: Path) -> None:
    """Signed beforehand and published at once: after 15 s a worker that hangs is replaced, the trial over."""
    for version in (5, 6):
        sign = (
            "policy",
            "sign",
            policy(version),
            "--device",
            agent.device,
            "--key",
            "ops.key",
            "-o",
            f"{version}.json",
        )
        assert tidegate_here(*sign).returncode == 0
    worker = agent.status().worker.pid
    assert worker is not None
    with publishing(broker, f"tidegate/{agent.device}/policy") as publish:
        os.kill(worker, signal.SIGSTOP)
        try:
            publish(Path("5.json"))
            agent.wait_until(lambda status: status.policy.version == 5)
            publish(Path("6.json"))
            agent.wait_until(lambda status: "version 6 was pushed before its verdict" in str(status.recent))
        finally:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
    agent.wait_until(lambda status: status.policy_pushes_applied == 1, 40)
    assert (agent.status().policy.version, agent.ask()[0]) == (6, 200)


def test_two_signers_where_two_are_needed(start_agent: StartAgent, broker: LocalBroker, desk: Path) -> None:
    keys = [trusted(OPS, "policy"), trusted(QA, "policy")]
    agent = start_agent(broker, trusted_keys=keys, signature_thresholds={"policy": 2})
    alone = push(broker, policy(5), "--key", "ops.key")
    assert (alone.returncode, "1 of 2 signers" in alone.stderr) == (65, True)
    assert push(broker, policy(5), "--key", "ops.key", "--key", "qa.key").returncode == 0
    assert agent.status().policy.signed_by == ("ops", "qa")

    # Each where their key is: one signs, the other adds a signature, anybody pushes.
    first = ("policy", "sign", policy(6), "--device", agent.device, "--key", "ops.key", "-o", "one.json")
    assert tidegate_here(*first).returncode == 0
    assert push(broker, "one.json").returncode == 65
    assert tidegate_here("policy", "sign", "one.json", "--key", "qa.key", "-o", "two.json").returncode == 0
    assert push(broker, "two.json").returncode == 0
    assert agent.status().policy.version == 6


def test_a_restart_keeps_what_was_trusted(agent: AgentProcess, broker: LocalBroker, desk: Path) -> None:
    assert push(broker, policy(5), "--key", "ops.key").returncode == 0
    agent.kill()
    agent.start()
    agent.wait_until(lambda status: status.telemetry.link == "online")
    assert agent.status().policy.version == 5
    older = push(broker, policy(4), "--key", "ops.key")
    assert (older.returncode, "older than the trusted version 5" in older.stderr) == (65, True)
    assert push(broker, policy(6), "--key", "ops.key").returncode == 0


def test_keys_are_rotated_over_mqtt(start_agent: StartAgent, broker: LocalBroker, desk: Path) -> None:
    agent = start_agent(broker, trusted_keys=[trusted(OPS, "policy", "key_rotation")])
    wanted = {"version": 1, "trusted_keys": [trusted(QA, "policy", "key_rotation")]}
    Path("keys.yaml").write_text(json.dumps(wanted))

    def rotate(*signers: str) -> Ended:
        where = ("--device", agent.device, "--broker", f"127.0.0.1:{broker.port}", "--wait", "20")
        return tidegate_here("key", "rotate", "keys.yaml", *(f"--key={name}.key" for name in signers), *where)

    alone = rotate(OPS)
    assert (alone.returncode, "sign with it as well" in alone.stderr) == (64, True)
    stranger = rotate(STRANGER, QA)
    assert (stranger.returncode, "not trusted here" in stranger.stderr) == (65, True)
    assert push(broker, policy(5), "--key", "qa.key").returncode == 65
    done = rotate(OPS, QA)
    assert (done.returncode, "trusted keys version 1 accepted" in done.stdout) == (0, True), done
    assert [key.name for key in agent.status().keys] == [QA]
    assert push(broker, policy(5), "--key", "ops.key").returncode == 65, "the old key counts no longer"
    assert push(broker, policy(5), "--key", "qa.key").returncode == 0

    agent.kill()
    agent.start()
    agent.wait_until(lambda status: status.telemetry.link == "online")
    assert [key.name for key in agent.status().keys] == [QA], "a rotation outlives the agent"
    assert push(broker, policy(6), "--key", "qa.key").returncode == 0
    assert rotate(OPS, QA).returncode == 0, "the same once more is no mistake"
    wanted["trusted_keys"] = [trusted(QA, "policy", "key_rotation"), trusted(OPS, "policy")]
    Path("keys.yaml").write_text(json.dumps(wanted))
    older = rotate(QA)
    assert (older.returncode, "not above 1" in older.stderr) == (65, True), older

    again = tidegate_here("key", "revoke", "ops", "--config", agent.config)
    assert (again.returncode, "undoes the rotation of version 1" in again.stdout) == (0, True)
    roles = ("--role", "policy", "--role", "key_rotation")
    again = tidegate_here("key", "trust", "ops.pub", *roles, "--config", agent.config)
    assert (again.returncode, "counts again" in again.stdout) == (0, True), "the agent never saw the change"

    # The owner's way back, with hands on the device.
    assert "rotated over MQTT, version 1" in tidegate_here("key", "show", "--config", agent.config).stdout
    back = tidegate_here("key", "trust", "bundles.pub", "--config", agent.config)
    assert (back.returncode, "undoes the rotation of version 1" in back.stdout) == (0, True)
    assert "rotated" not in tidegate_here("key", "show", "--config", agent.config).stdout
    assert tidegate_here("reload", "--config", agent.config).returncode == 0
    assert [key.name for key in agent.status().keys] == [OPS, BUNDLES]
    assert push(broker, policy(7), "--key", "bundles.key").returncode == 0

    Path("keys.yaml").write_text(
        json.dumps({"version": 3, "trusted_keys": [trusted(OPS, "policy", "key_rotation")]})
    )
    fleet = ("--fleet", "--key", "ops.key", "--broker", f"127.0.0.1:{broker.port}", "--wait", "20")
    everybody = tidegate_here("key", "rotate", "keys.yaml", *fleet)
    assert (everybody.returncode, "1 of 1 took it" in everybody.stdout) == (0, True), everybody
    assert [key.name for key in agent.status().keys] == [OPS]


def test_reported_names_the_keys(agent: AgentProcess, broker: LocalBroker, desk: Path) -> None:
    from tidegate.fleet.listener import Listener  # noqa: PLC0415 - as a consumer of the topic would
    from tidegate.telemetry.payloads.reported import parse_reported  # noqa: PLC0415 - as above

    heard = []
    listener = Listener(
        broker.address,
        "test",
        (f"tidegate/{agent.device}/reported",),
        lambda message: heard.append(parse_reported(bytes(message.payload))),
    )
    listener.start()
    try:
        assert push(broker, policy(5), "--key", "ops.key").returncode == 0
        agent.wait_until(lambda _: any(each.policy is not None and each.policy.version == 5 for each in heard))
    finally:
        listener.stop()
    assert {(key.name, key.keyid, key.roles) for key in heard[-1].keys} == {
        (OPS, read_public(Path("ops.pub")).keyid, ("policy",)),
        (BUNDLES, read_public(Path("bundles.pub")).keyid, ("bundle",)),
    }
    assert heard[-1].allow_unsigned is False


def test_a_device_that_takes_unsigned_policies_says_so(
    start_agent: StartAgent, broker: LocalBroker, desk: Path
) -> None:
    agent = start_agent(broker, allow_unsigned=True)
    assert push(broker, policy(5)).returncode == 0
    assert agent.status().allow_unsigned is True
    shown = tidegate_here("status", "--config", agent.config).stdout
    assert "allow_unsigned" in shown
    assert push(broker, policy(6), "--key", "stranger.key").returncode == 0, (
        "no signature is needed, none is wrong"
    )


def test_what_is_wrong_with_a_command_is_said_before_anything_is_sent(broker: LocalBroker, desk: Path) -> None:
    file = policy(5)
    Path("ops.key").chmod(0o644)
    open_key = push(broker, file, "--key", "ops.key")
    assert (open_key.returncode, "chmod 600 ops.key" in open_key.stderr) == (65, True)
    assert "a public key, which signs nothing" in push(broker, file, "--key", "ops.pub").stderr
    for mistaken in (("policy", "sign", "qa.key", "--fleet"), ("key", "rotate", "qa.key", "--fleet")):
        shown = tidegate_here(*mistaken, "--key", "qa.key")
        assert (shown.returncode, "a private key" in shown.stderr) == (78, True), shown
        assert Path("qa.key").read_text().splitlines()[1][-30:] not in shown.stderr
        assert "MC4CAQ" not in shown.stderr, "errors end up in logs"
    Path("there").mkdir()
    for place in (".", "there"):
        refused = tidegate_here("policy", "sign", file, "--fleet", "--key", "qa.key", "-o", place)
        assert (refused.returncode, "it is a directory" in refused.stderr) == (69, True)
    assert Path("there").is_dir()
    late = push(broker, file, "--key", "qa.key", "--expires", "2027-01-01")
    assert (late.returncode, "2027-01-31T12:00Z" in late.stderr) == (64, True)
    assert push(broker, file, "--group", "barn").returncode == 64
    sign = ("policy", "sign", file, "--device", "camera-2", "--key", "qa.key", "-o", "other.json")
    assert tidegate_here(*sign).returncode == 0
    changed = push(broker, "other.json", "--device", "camera-1")
    assert (changed.returncode, "sign it anew" in changed.stderr) == (64, True)
    Path("other.json").write_text("{}")
    assert push(broker, "other.json").returncode == 64
    assert tidegate_here("policy", "sign", file, "--fleet").returncode == 64


def test_what_others_publish_moves_no_cursor_of_the_one_who_pushes(broker: LocalBroker, desk: Path) -> None:
    Path("status").write_bytes(b"\x1b[2J\x07gone\r")
    with publishing(broker, f"tidegate/{AgentProcess.device}/status", retain=True) as publish:
        publish(Path("status"))
    silent = push(broker, policy(5), "--key", "ops.key", wait_s=1)
    assert (silent.returncode, "gone" in silent.stderr) == (75, True), silent
    assert silent.stderr.replace("\n", "").isprintable()


def test_what_is_signed_twice_with_one_key_has_one_signature(desk: Path) -> None:
    sign = ("policy", "sign", policy(5), "--fleet", "--key", "ops.key", "--key", "ops.key")
    envelope = json.loads(tidegate_here(*sign).stdout)
    assert len(envelope["signatures"]) == 1
