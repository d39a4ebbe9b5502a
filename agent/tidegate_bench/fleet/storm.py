"""A broker that restarts under many agents, and a push that all of them have to answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tidegate.fleet.push import push_to_many
from tidegate.telemetry.payloads.envelope import Target, seal
from tidegate.trust.keys import PrivateKey
from tidegate_bench.broken import BrokenError
from tidegate_bench.fleet.host import LOCAL, HostState
from tidegate_bench.fleet.hosts import Hosts, online
from tidegate_bench.fleet.quiet_broker import quiet_broker
from tidegate_bench.progress import Progress

WINDOW_S = 60.0
"""The longest pause between two tries of a link to connect (telemetry/link/backoff.py)."""
_UP_S, _BACK_S, _PUSH_S, _DRAIN_S = 300.0, 180.0, 300.0, 60.0
_VERSION = 5


@dataclass(frozen=True, slots=True)
class Storm:
    """`back_s` are the seconds from the broker's return at which agents were online again, in order.

    `accepted` of them took the push within `push_s`. `put`, `acknowledged` and `waiting` are rows of all spools
    when nothing came any more, None where one could not be read.
    """

    agents: int
    down_s: float
    back_s: tuple[float, ...]
    accepted: int
    push_s: float
    put: int | None
    acknowledged: int | None
    waiting: int | None

    @property
    def most_at_once(self) -> float | None:
        """The largest share of the agents that came back within one second; None where none did."""
        if not self.back_s:
            return None
        return max(sum(at <= each < at + 1.0 for each in self.back_s) for at in self.back_s) / self.agents

    def back_by(self, share: float) -> float | None:
        """When so many of them were back, s; None where they never were."""
        number = round(share * self.agents)
        return self.back_s[number - 1] if 0 < number <= len(self.back_s) else None


def storm(agents: int, hosts: int, down_s: float, directory: Path, progress: Progress) -> Storm:
    """Start them, take the broker away for `down_s`, look when they are back, push. Raises BrokenError."""
    operator = PrivateKey.new()
    names = {f"cam-{number:04}": ("barn",) for number in range(agents)}
    broker = quiet_broker(directory / "broker")
    with broker, Hosts(broker.port, directory, names, operator, count=hosts) as fleet:
        progress(f"{agents} agents in {hosts} processes connect")
        if not fleet.wait(lambda states: online(states) == agents, _UP_S):
            raise BrokenError(f"{online(fleet.states())} of {agents} agents came online: too many for here")
        progress(f"the broker goes away for {down_s:g} s")
        broker.process.terminate()
        broker.process.wait()
        time.sleep(down_s)
        # Some come back before the broker's start has been noticed here.
        returned_s = time.monotonic()
        broker.start()

        def all_back(states: Sequence[HostState]) -> bool:
            back = _back(states, returned_s)
            progress(f"{back} of {agents} are back after {time.monotonic() - returned_s:.0f} s")
            return back == agents

        fleet.wait(all_back, _BACK_S)
        back_s = sorted(at - returned_s for at in fleet.online_at_s() if at > returned_s)
        progress(f"{len(back_s)} of {agents} are back; a policy is pushed to all of them")
        text = LOCAL.replace("version: 1", f"version: {_VERSION}").replace("local", "pushed")
        pushed = push_to_many(
            broker.address, seal(text, _VERSION, Target("fleet"), None, [operator]), wait_s=_PUSH_S
        )
        progress(f"{len(pushed.accepted)} of {agents} took it within {pushed.waited_s:.1f} s")
        fleet.wait(_drained, _DRAIN_S)
        states = fleet.states()
    return Storm(
        agents,
        down_s,
        tuple(back_s),
        len(pushed.accepted),
        pushed.waited_s,
        _sum([each.put for each in states]),
        _sum([each.acknowledged for each in states]),
        _sum([each.waiting for each in states]),
    )


def _back(states: Sequence[HostState], since_s: float) -> int:
    return sum(at is not None and at > since_s for state in states for at in state.online_at_s.values())


def _drained(states: Sequence[HostState]) -> bool:
    return not _sum([each.waiting for each in states])


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [each for each in counts if each is not None]
    return sum(known) if len(known) == len(counts) else None


def by_second(back_s: Sequence[float], edges: Sequence[float]) -> list[tuple[str, int]]:
    """How many came back between each two of the edges, in words and numbers."""
    return [
        (f"{low:g} to {high:g} s", sum(low <= each < high for each in back_s)) for low, high in pairwise(edges)
    ]
