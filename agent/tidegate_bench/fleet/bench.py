"""`tidegate bench fleet-storm`: a broker's restart under many agents, a push to all, rollouts good and worse."""

import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, quantiles
from tempfile import TemporaryDirectory

from tidegate.fleet.rollout.pooled_test import answers_needed
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.fleet.light_agent import WORSE_BY
from tidegate_bench.fleet.rollouts import CANARIES, Ended, rollouts
from tidegate_bench.fleet.storm import WINDOW_S, Storm, by_second, storm
from tidegate_bench.progress import Progress

AGENTS, HOSTS, DOWN_S, EACH, GROUPS = 2000, 16, 10.0, 100, 8
QUICK_AGENTS, QUICK_HOSTS, QUICK_DOWN_S, QUICK_EACH, QUICK_GROUPS = 40, 2, 1.0, 4, 4
ROLLOUT_HOSTS = 1
EDGES_S = (0, 1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60, 180)
MOST_AT_ONCE = 0.25
ANSWERS_A_SECOND = 2.0
"""Of each canary, in the time that comparisons are said to take; the benchmark itself draws them faster."""


def run(*, quick: bool, progress: Progress) -> Figures:
    """Both parts, each over a mosquitto of its own. Raises LocalBrokerError, BrokenError."""
    _allow_open_files()
    agents, hosts, down_s = (QUICK_AGENTS, QUICK_HOSTS, QUICK_DOWN_S) if quick else (AGENTS, HOSTS, DOWN_S)
    each, groups = (QUICK_EACH, QUICK_GROUPS) if quick else (EACH, GROUPS)
    with TemporaryDirectory(prefix="tidegate-storm-", dir=_memory_backed()) as made:
        (Path(made) / "storm").mkdir()
        found = storm(agents, hosts, down_s, Path(made) / "storm", progress)
        (Path(made) / "rollouts").mkdir()
        ended = rollouts(each, groups, ROLLOUT_HOSTS, Path(made) / "rollouts", progress)
    return figures(found, ended)


def figures(found: Storm, ended: Sequence[Ended]) -> Figures:
    """What is shown of it."""
    good, worse = ([each for each in ended if each.worse is kind] for kind in (False, True))
    return Figures(
        "fleet-storm",
        [
            *_spans(found),
            _storm_row(found),
            _rollout_row("keeps to its certificate, just", good),
            _rollout_row("1 % of answers worse than certified", worse),
        ],
        [
            Goal("agents back after the broker's restart", found.agents, len(found.back_s)),
            Goal("the last of them back, s", WINDOW_S, found.back_by(1.0), at_least=False),
            Goal(
                "largest share of agents back within one second", MOST_AT_ONCE, found.most_at_once, at_least=False
            ),
            Goal("agents that acknowledged a pushed policy", found.agents, found.accepted),
            Goal("telemetry rows lost", 0, _lost(found), at_least=False),
            Goal("of 100 worse rollouts, halted with the canaries", 95, _percent_halted(worse)),
            Goal("of 100 good rollouts, halted", 5, _percent_halted(good, by_canaries=False), at_least=False),
        ],
    )


def _spans(found: Storm) -> list[Mapping[str, Cell]]:
    return [{"back after": span, "agents": count} for span, count in by_second(found.back_s, EDGES_S) if count]


def _storm_row(found: Storm) -> dict[str, Cell]:
    return {
        "agents": found.agents,
        "broker_down_s": found.down_s,
        "back_50_percent_s": found.back_by(0.5),
        "back_95_percent_s": found.back_by(0.95),
        "back_all_s": found.back_by(1.0),
        "push_accepted": found.accepted,
        "push_s": found.push_s,
        "rows_acknowledged": found.acknowledged,
        "rows_waiting": found.waiting,
    }


def _rollout_row(policy: str, ended: Sequence[Ended]) -> Mapping[str, Cell]:
    compared = [each.compared for each in ended]
    by_canaries = [each.compared for each in ended if each.halted_in in {None, 0}]
    rate = CANARIES * ANSWERS_A_SECOND
    return {
        "policy": policy,
        "rollouts": len(ended),
        "halted_with_canaries": sum(each.halted_in == 0 for each in ended),
        "halted_later": sum(each.halted_in not in {None, 0} for each in ended),
        "canaries": CANARIES,
        "answers_mean": mean(by_canaries) if by_canaries else None,
        "answers_95_percent": quantiles(compared, n=20)[-1] if len(compared) > 1 else None,
        "answers_by_theory": answers_needed(0.01, WORSE_BY),
        "minutes_at_2_answers_s": mean(by_canaries) / rate / 60 if by_canaries else None,
    }


def _percent_halted(ended: Sequence[Ended], *, by_canaries: bool = True) -> float | None:
    halted = [each for each in ended if each.halted_in is not None and (each.halted_in == 0 or not by_canaries)]
    return 100 * len(halted) / len(ended) if ended else None


def _lost(found: Storm) -> int | None:
    if found.put is None or found.acknowledged is None or found.waiting is None:
        return None
    return found.put - found.acknowledged - found.waiting


def _memory_backed() -> str | None:
    """Each device has a disk of its own; here thousands would wait for one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a directory of our own is made in it


def _allow_open_files() -> None:
    """The broker, a child of ours, has a socket for each agent."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
