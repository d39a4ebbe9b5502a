"""Rollouts to groups of light agents: policies that keep to certificates, and ones worse by a point."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tidegate.fleet.rollout.abort_expression import parse_rule
from tidegate.fleet.rollout.abort_rule import DEFAULT
from tidegate.fleet.rollout.rollout import Plan, Pushable, Rollout
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.payloads.envelope import Target, policy_hash, seal
from tidegate.trust.dsse import Envelope
from tidegate.trust.keys import PrivateKey
from tidegate_bench.broken import BrokenError
from tidegate_bench.fleet.hosts import Hosts, online
from tidegate_bench.fleet.light_agent import WORSE
from tidegate_bench.fleet.quiet_broker import quiet_broker
from tidegate_bench.progress import Progress

CANARIES, IN_A_GROUP = 5, 10
ANSWERS_A_STEP = 50
_AT_ONCE = 8
_UP_S, _COMPARE_S = 300.0, 600.0
_POLICY = """\
tidegate: 1
name: {name}
version: {version}
max_accuracy_loss: 1 %
default: {{use: cheapest}}
drift_guard: {{share: 10 %}}
dwell: {{down: 0 s, up: 0 s}}
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one rollout ended: the stage in which it was halted (None: it was not), and how many answers it took."""

    worse: bool
    halted_in: int | None
    reason: str
    compared: int


def rollouts(each: int, groups: int, hosts: int, directory: Path, progress: Progress) -> list[Ended]:
    """So many good rollouts and as many worse ones, in turn over the groups. Raises BrokenError."""
    operator = PrivateKey.new()
    members = {
        f"g{group:02}": [f"g{group:02}-cam-{number}" for number in range(IN_A_GROUP)] for group in range(groups)
    }
    agents = {name: (group,) for group, names in members.items() for name in names}
    turns: dict[str, list[bool]] = {group: [] for group in members}
    for number in range(2 * each):
        turns[f"g{number % groups:02}"].append((number // groups + number) % 2 == 1)
    ended: list[Ended] = []
    lock = threading.Lock()
    with quiet_broker(directory / "broker") as broker:
        in_hosts = Hosts(broker.port, directory, agents, operator, count=hosts, answers=ANSWERS_A_STEP)
        with in_hosts as fleet, ThreadPoolExecutor(_AT_ONCE) as pool:
            progress(f"{len(agents)} agents connect")
            if not fleet.wait(lambda states: online(states) == len(agents), _UP_S):
                raise BrokenError("not all agents came online")

            def in_turn(group: str) -> None:
                for number, worse in enumerate(turns[group]):
                    # What a former one was halted for is not held against this one.
                    fleet.forget(members[group])
                    found = _roll_out(broker.address, group, 2 + number, operator, worse=worse)
                    with lock:
                        ended.append(found)
                        progress(f"{len(ended)} of {2 * each} rollouts")

            for future in [pool.submit(in_turn, group) for group in members]:
                future.result()
    return ended


def _roll_out(broker: Broker, group: str, version: int, operator: PrivateKey, *, worse: bool) -> Ended:
    name = f"{WORSE if worse else 'good'}-{version}"
    text = _POLICY.format(name=name, version=version)

    def envelope(target: Target) -> Envelope:
        return seal(text, version, target, None, [operator])

    pushable = Pushable(name, version, policy_hash(text), envelope, lambda target: target.topic)
    plan = Plan(
        (CANARIES / IN_A_GROUP, 1.0), parse_rule(DEFAULT), answer_s=120.0, soak_s=0.5, compare_s=_COMPARE_S
    )
    rollout = Rollout(broker, Target("group", group), pushable, [operator], lambda _: None)
    state = rollout.run(plan)
    compared = 0 if rollout.fared is None else sum(each.seen for each in rollout.fared.compared)
    return Ended(worse, state.stage if state.state == "halted" else None, state.reason, compared)
