"""`tidegate bench mqtt-kills`: 72 simulated hours of kills, dead brokers, torn networks and full disks.

Most kills hit light devices, forks that run the real spool and link, or the real machines of pushes, and die at a
chosen step; the rest hit whole agents at random moments. The network is a proxy of this benchmark, so that nothing
of the machine's own is touched; a full disk is a limit on the size of files (RLIMIT_FSIZE).
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tidegate_bench.broken import BrokenError
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.mqtt.agent_kills import AgentKills, kill_agents
from tidegate_bench.mqtt.delivery_kills import Delivery, deliver
from tidegate_bench.mqtt.push_kills import PushKills, kill_pushes
from tidegate_bench.mqtt.push_stories import stories
from tidegate_bench.progress import Progress

SEED = 16


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it is done; of each push, one of `every` changes on the disk."""

    deliveries: int
    every: int
    agents: int


FULL, QUICK = Size(deliveries=1_650, every=1, agents=120), Size(deliveries=64, every=16, agents=0)
MOST_KILLS, MOST_AGENTS = 2_000, 100


def run(*, quick: bool, progress: Progress) -> Figures:
    """Kill until it is done. Raises BrokenError, LocalBrokerError."""
    if sys.platform != "linux":
        raise BrokenError(f"mqtt-kills forks and limits files as on Linux; this is {sys.platform}")
    size, chance = (QUICK if quick else FULL), Random(SEED)  # noqa: S311 - no secret
    with TemporaryDirectory(prefix="tidegate-kills-") as made:
        # Forks first: later this process has threads.
        pushes = _pushes(Path(made), size, progress)
        (Path(made) / "delivery").mkdir()
        delivery = deliver(Path(made) / "delivery", size.deliveries, chance, progress)
        agents = None
        if size.agents:
            (Path(made) / "agents").mkdir()
            agents = kill_agents(Path(made) / "agents", size.agents, chance, progress)
    return figures_of(pushes, delivery, agents)


def _pushes(made: Path, size: Size, progress: Callable[[str], None]) -> list[PushKills]:
    pushes = []
    for number, story in enumerate(stories(made / "bundles")):
        progress(f"pushes: {story.name}")
        pushes.append(kill_pushes(story, made / f"push-{number}", size.every))
    return pushes


def figures_of(pushes: list[PushKills], delivery: Delivery, agents: AgentKills | None) -> Figures:
    """What is shown of it; `agents` is None where none was killed."""
    rows: list[Mapping[str, Cell]] = [
        {"killed": each.story, "where": where, "kills": kills}
        for each in pushes
        for where, kills in each.kills.items()
    ]
    rows += [
        {"killed": "device that delivers", "where": str(trouble), "kills": kills}
        for trouble, kills in delivery.kills.items()
    ]
    of_agents = {} if agents is None else agents.kills
    rows += [
        {"killed": "whole agent", "where": str(trouble), "kills": kills} for trouble, kills in of_agents.items()
    ]
    rows.append(
        {
            "rows": "of devices that deliver",
            "on disk": delivery.stored,
            "sent": delivery.sent,
            "duplicates": delivery.duplicates,
            "merged": delivery.merged,
            "dropped": delivery.dropped,
            "killed in sqlite": delivery.inside,
        }
    )
    if agents is not None:
        rows.append({"rows of whole agents": agents.rows, "agent duplicates": agents.duplicates})
        rows += [{"verdict of whole agents": said, "times": times} for said, times in agents.verdicts.items()]
    half = [problem for each in pushes for problem in each.half_applied]
    half += [] if agents is None else agents.half_applied
    rows += [{"half-applied": problem} for problem in half]
    rows += [{"number with two contents": told} for told in delivery.rewritten]
    agent_kills = sum(of_agents.values())
    kills = sum(sum(each.kills.values()) for each in pushes) + sum(delivery.kills.values()) + agent_kills
    return Figures(
        "mqtt-kills",
        rows,
        [
            Goal("kills", MOST_KILLS, kills),
            Goal("kills of whole agents", MOST_AGENTS, agent_kills),
            Goal("rows lost", 0, delivery.lost + (0 if agents is None else agents.lost), at_least=False),
            Goal("windows told twice as different rows", 0, delivery.doubled, at_least=False),
            Goal("numbers sent with two contents", 0, len(delivery.rewritten), at_least=False),
            Goal("half-applied pushes", 0, len(half), at_least=False),
        ],
    )
