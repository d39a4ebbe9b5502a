"""Junk on every subscribed topic, a thousand times a second: the control loop keeps its time, rows their count.

The loop's own sign of life is the watchdog message that systemd would get; here the test is who listens.
"""

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from agent_process import PLAIN_POLICY, AgentProcess

from tidegate.content.chunk import Chunk
from tidegate.fleet.broker import LocalBroker
from tidegate.supervisor.control.cadence import LATEST_S
from tidegate.telemetry.payloads.bundle_envelope import BundlePush, FileDigest, seal_bundle
from tidegate.telemetry.payloads.envelope import Target, seal
from tidegate.trust.dsse import MOST_SIGNATURES, Signature
from tidegate.trust.keys import PrivateKey

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker

LATE_S = 1.0
"""No control step is later than this."""


class LifeSigns:
    """Listens where systemd would, and notes when the control loop has taken a step."""

    def __init__(self, path: Path) -> None:
        self.steps: list[float] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            if b"WATCHDOG=1" in self._socket.recv(4096):
                self.steps.append(time.monotonic())

    def latest_s(self, since: float) -> float:
        """How much later than its period a step came at most since then; a step still missing counts."""
        steps = [step for step in self.steps if step >= since]
        return max(b - a for a, b in itertools.pairwise([since, *steps, time.monotonic()])) - LATEST_S


@pytest.fixture
def life_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LifeSigns:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return LifeSigns(tmp_path / "notify")


OPS = PrivateKey(bytes(32)).public


def long_policy(version: int) -> str:
    """A valid policy of nearly 64 KiB."""
    policy = PLAIN_POLICY.replace("version: 1", f"version: {version}") + "rules:\n"
    rule = "  - {{name: rule {0}, when: {{battery: {{below: 20 %, until: 25 %}}}}, use: full}}\n"
    for number in itertools.count():
        if len(policy) > 65_000:
            return policy
        policy += rule.format(number)
    raise AssertionError


def junk(device: str) -> Iterator[tuple[str, bytes]]:
    """What somebody may publish, without end: inputs good, bad, large and ever new, and policies that are none."""
    topic = f"tidegate/{device}"
    envelope = seal("a: [", 2**53 - 1, Target("device", device)).to_json()
    stranger = PrivateKey.new()
    signatures = (Signature(OPS.keyid, stranger.sign(b"x")),) * MOST_SIGNATURES
    badly_signed = replace(seal(long_policy(7), 7, Target("device", device)), signatures=signatures).to_json()
    files = {"bundle.json": FileDigest("0" * 64, 10)}
    push = BundlePush(files, (Chunk("0" * 64, 36),), 5, Target("device", device), None)
    bundle_of_a_stranger = seal_bundle(push, "digits", [stranger]).to_json()
    for number in itertools.count():
        yield f"{topic}/input/x", b"1"
        yield f"{topic}/input/x", b"x"
        yield f"{topic}/input/n{number}", b"%d" % number
        yield f"{topic}/input/y", json.dumps({"value": number, "ttl_s": 1}).encode()
        yield f"{topic}/input/y", b"{" * 50
        yield f"{topic}/input/z{number % 100}", b""
        yield f"{topic}/input/\N{SNOWMAN}{number}", b"\xff\x00"
        if number % 20 == 0:
            yield f"{topic}/input/large", b"9" * 100_000
            yield f"{topic}/policy", envelope
            yield "tidegate/fleet/policy", b"\xff" * 1000
            yield f"{topic}/policy", badly_signed
            yield f"{topic}/keys", badly_signed
            yield "tidegate/fleet/keys", b"{}"
            yield f"{topic}/bundle", badly_signed
            yield f"{topic}/bundle", bundle_of_a_stranger
            yield "tidegate/fleet/bundle", b"{" * 1000
            yield f"{topic}/bundle/chunk", b"\1" + b"\xff" * 60_000


def flood(broker: LocalBroker, device: str, seconds: float, rate_hz: float) -> int:
    """Publish junk; how much went out."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    started, sent = time.monotonic(), 0
    for topic, payload in junk(device):
        behind_s = (time.monotonic() - started) - sent / rate_hz
        if behind_s < 0:
            time.sleep(-behind_s)
        if time.monotonic() - started > seconds:
            break
        client.publish(topic, payload)
        sent += 1
    client.disconnect()
    client.loop_stop()
    return sent


@pytest.mark.parametrize("seconds", [6.0, pytest.param(30.0, marks=pytest.mark.slow)])
def test_mixed_junk_makes_no_control_step_late(
    start_agent: StartAgent, broker: LocalBroker, life_signs: LifeSigns, seconds: float
) -> None:
    key = {"name": "ops", "key": OPS.text, "roles": ["policy", "key_rotation"]}
    agent = start_agent(broker, allow_unsigned=False, trusted_keys=[key])
    agent.wait_until(lambda status: status.telemetry.link == "online")
    since = time.monotonic()
    sent = flood(broker, agent.device, seconds, 1000.0)
    late_s = life_signs.latest_s(since)
    assert sent > 500 * seconds
    assert late_s < LATE_S, f"a control step came {late_s:.2f} s late"
    status = agent.wait_until(
        lambda status: any("times since" in str(event["text"]) for event in status.recent), 40
    )
    assert status.policy.version == 1
    kinds = {"bad_signature", "not_signed", "malformed", "unknown_key"}
    assert kinds >= set(status.refusals) >= {"malformed", "unknown_key"}
    assert len(agent.log()) < 100_000
    rows = agent.status().telemetry
    assert rows.dropped is not None
    assert rows.spooled is not None
    assert rows.spooled < 100 + 10 * seconds
    assert rows.spooled == (rows.published or 0) + sum(rows.dropped.values()) + (rows.waiting or 0)


def test_long_policies_are_read_beside_the_control_loop(
    start_agent: StartAgent, broker: LocalBroker, life_signs: LifeSigns
) -> None:
    agent = start_agent(broker, allow_unsigned=True)
    agent.wait_until(lambda status: status.telemetry.link == "online")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    since = time.monotonic()
    target = Target("device", agent.device)
    for version in (2, 3):
        wrong = long_policy(version).replace("default:", "defualt:")
        client.publish(target.topic, seal(wrong, version, target).to_json(), qos=1)
    client.publish(target.topic, seal(long_policy(4), 4, target).to_json(), qos=1)
    agent.wait_until(lambda status: status.policy.version == 4, 60)
    late_s = life_signs.latest_s(since)
    client.disconnect()
    client.loop_stop()
    assert late_s < LATE_S, f"a control step came {late_s:.2f} s late"
