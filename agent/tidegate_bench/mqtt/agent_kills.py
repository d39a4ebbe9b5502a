"""A whole agent that is killed at random moments of its life, while policies and bundles are pushed to it."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil
import yaml

from tidegate import child
from tidegate.errors import TidegateError
from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.bundle_content import BundleContent, content_of, push_of
from tidegate.fleet.push import push
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.errors import BundleError
from tidegate.policy.store import digest_of
from tidegate.telemetry.payloads.bundle_envelope import seal_bundle
from tidegate.telemetry.payloads.envelope import seal
from tidegate.telemetry.spool import Spool
from tidegate.trust.dsse import Envelope
from tidegate_bench.broken import BrokenError
from tidegate_bench.footprint.agent import configure
from tidegate_bench.mqtt.delivering_device import FULL_DISK_BYTES
from tidegate_bench.mqtt.delivery_kills import Trouble, bring_about, rows_of, seq_of
from tidegate_bench.mqtt.push_stories import edited_bundle
from tidegate_bench.mqtt.pushed_device import DEVICE, OPERATOR, TARGET, policy
from tidegate_bench.mqtt.torn_network import TornNetwork

LIVES_S = (0.2, 8.0)
"""An agent is killed so long after its start: while it starts, serves, or is on trial with a push."""
SAME_TROUBLE = 6
"""So many kills in a row come under the same circumstances."""
PUSH_S = 10.0
END_S = 240.0


@dataclass(frozen=True, slots=True)
class AgentKills:
    """What became of it: kills by circumstances, verdicts by kind, and what was half-applied or lost."""

    kills: Mapping[Trouble, int]
    verdicts: Mapping[str, int]
    half_applied: tuple[str, ...]
    rows: int
    lost: int
    duplicates: int


@dataclass(slots=True)
class _Operator:
    """Pushes policies and bundles in turn, in a thread of its own, until it is stopped."""

    broker: LocalBroker
    bundles: Mapping[int, tuple[Bundle, BundleContent]]
    verdicts: dict[str, int] = field(default_factory=dict)
    version: int = 1
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until it is stopped."""
        while not self._stopped.wait(0.5):
            with suppress(TidegateError):
                self.push_next(PUSH_S)

    def stop(self) -> None:
        """After the push that is under way."""
        self._stopped.set()

    def push_next(self, wait_s: float) -> str:
        """Push the next version of a policy, or of a bundle; the verdict. Raises BrokerError, PushError."""
        self.version += 1
        content: BundleContent | None = None
        envelope: Envelope = seal(policy(self.version), self.version, TARGET, keys=[OPERATOR])
        if self.version % 2:
            bundle, content = self.bundles[self.version // 2 % len(self.bundles)]
            envelope = seal_bundle(push_of(bundle, content, self.version, TARGET), "digits", [OPERATOR])
        outcome = push(self.broker.address, envelope, wait_s, content).outcome
        said = f"{'policy' if content is None else 'bundle'} {outcome}"
        self.verdicts[said] = self.verdicts.get(said, 0) + 1
        return said


def kill_agents(directory: Path, kills: int, chance: Random, progress: Callable[[str], None]) -> AgentKills:
    """Kill a whole agent so often. Raises BrokenError, LocalBrokerError."""
    bundles = {}
    for number in range(2):
        made = edited_bundle(directory / f"bundle-{number}", latency_ms=3.0 + number)
        bundles[number] = open_bundle(made), content_of(made)
    broker = LocalBroker(directory / "broker")
    broker.start()
    operator = _Operator(broker, bundles)
    pushing = threading.Thread(target=operator.run, daemon=True)
    counted: dict[Trouble, int] = {}
    half: list[str] = []
    try:
        with TornNetwork(broker.port, chance) as network:
            config = _configured(directory, network.port)
            pushing.start()
            trouble = Trouble.NONE
            for number in range(kills):
                if number and number % SAME_TROUBLE == 0:
                    trouble = trouble.next
                    bring_about(trouble, broker, directory / "broker", network)
                    progress(f"whole agents: {number} of {kills} kills; now: {trouble}")
                _live(config, network, chance.uniform(*LIVES_S), disk_full=trouble is Trouble.DISK_FULL)
                counted[trouble] = counted.get(trouble, 0) + 1
                half += [f"kill {number}: {problem}" for problem in _half_applied(directory / "state", bundles)]
            bring_about(Trouble.NONE, broker, directory / "broker", network)
            operator.stop()
            half += _end_well(config, network, operator, pushing, progress)
            lost, rows, duplicates = _accounted(directory / "state", network)
    finally:
        operator.stop()
        broker.stop()
    return AgentKills(counted, operator.verdicts, tuple(half), rows, lost, duplicates)


def _configured(directory: Path, port: int) -> Path:
    config = configure(directory, None)
    settings = yaml.safe_load(config.read_text())
    local = directory / "policy.yaml"
    local.write_text(policy(1))
    key = {"name": "operator", "key": OPERATOR.public.text, "roles": ["policy", "bundle", "key_rotation"]}
    settings |= {
        "device": DEVICE,
        "policy": str(local),
        "broker": {"host": "127.0.0.1", "port": port},
        "telemetry": {"window": "500 ms"},
        "trusted_keys": [key],
    }
    config.write_text(yaml.safe_dump(settings))
    return config


def _start(config: Path) -> "subprocess.Popen[bytes]":
    with (config.parent / "agent.log").open("ab") as log:
        environment = child.environment(CACHE_DIRECTORY=str(config.parent / "cache"))
        command = child.command("tidegate.supervisor", str(config))
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


def _live(config: Path, network: TornNetwork, seconds: float, *, disk_full: bool) -> None:
    agent = _start(config)
    if disk_full:
        limit = (FULL_DISK_BYTES, psutil.RLIM_INFINITY)
        psutil.Process(agent.pid).rlimit(psutil.RLIMIT_FSIZE, limit)
    until = time.monotonic() + seconds
    while time.monotonic() < until and agent.poll() is None:
        network.step(0.02)
    agent.kill()
    ended = agent.wait()
    network.hang_up()
    if ended != -signal.SIGKILL:
        raise BrokenError(f"an agent ended by itself with {ended}; the end of its log:\n{_tail(config)}")


def _half_applied(state: Path, bundles: Mapping[int, tuple[Bundle, BundleContent]]) -> list[str]:
    """What the files of a dead agent hold that nobody pushed."""
    found: list[str] = []
    with suppress(FileNotFoundError):
        stored = json.loads((state / "policies.json").read_text())
        found += [
            f"policy version {each['version']} is not what was pushed"
            for each in (stored["accepted"], stored["trial"], stored["previous"])
            if each is not None and each["digest"] != digest_of(policy(each["version"]))
        ]
    with suppress(FileNotFoundError):
        active = json.loads((state / "bundles" / "slots.json").read_text())["active"]
        if active is not None:
            try:
                opened = open_bundle(state / "bundles" / active["slot"])
            except BundleError as error:
                return [*found, f"the bundle in force can't be opened: {error}"]
            if opened.sha256 not in {bundle.sha256 for bundle, _ in bundles.values()}:
                found.append("the bundle in force is none that was pushed")
    return found


def _end_well(
    config: Path,
    network: TornNetwork,
    operator: _Operator,
    pushing: threading.Thread,
    progress: Callable[[str], None],
) -> list[str]:
    """After all kills, in peace: a policy and a bundle are accepted, and all that waited is delivered."""
    progress("whole agents: the last one is left alive")
    agent = _start(config)
    said: list[str] = []

    def finish() -> None:
        pushing.join()
        for _ in range(2):
            try:
                said.append(operator.push_next(END_S / 3))
            except TidegateError as error:
                said.append(str(error))

    finishing = threading.Thread(target=finish, daemon=True)
    finishing.start()
    until = time.monotonic() + END_S
    while finishing.is_alive() and time.monotonic() < until and agent.poll() is None:
        network.step(0.02)
    quiet_at = time.monotonic() + 5.0
    agent.terminate()
    while agent.poll() is None and time.monotonic() < quiet_at + 30.0:
        network.step(0.02)
    agent.kill()
    agent.wait()
    return [f"after all kills: {each}" for each in said if not each.endswith("accepted")] + (
        [] if len(said) == 2 else ["after all kills, a push came to no verdict"]
    )


def _accounted(state: Path, network: TornNetwork) -> tuple[int, int, int]:
    """Rows lost, put, and sent again: what the spool counts as acknowledged, the broker has acknowledged."""
    spool = Spool(state / "spool.db", 64 << 20, 1e9)
    counters = spool.counters
    spool.close()
    if counters is None:
        raise BrokenError("the spool can't be read at the end")
    acknowledged = {seq_of(each) for each in rows_of(network.record.acknowledged)}
    sent = [seq_of(each) for each in rows_of(network.record.sent)]
    return max(0, counters.acknowledged - len(acknowledged)), counters.put, len(sent) - len(set(sent))


def _tail(config: Path) -> str:
    return "\n".join((config.parent / "agent.log").read_text(errors="replace").splitlines()[-15:])
