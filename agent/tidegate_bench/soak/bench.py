"""`tidegate bench soak`: an agent asked 25 times a second for minutes, in turn calm, switching and disturbed.

Failed requests count in all of it; the price of switches is taken from calm and switching turns alone. A client
whose connection ends with a killed worker asks again; any answer but 200 is a failure.
"""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import yaml

from tidegate.demo.client import LoadSummary
from tidegate.fleet.broker import LocalBroker
from tidegate.paths import profiles_directory
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.footprint.agent import Started, configure, started
from tidegate_bench.footprint.bench import NoProcError
from tidegate_bench.footprint.idle import DAY_S
from tidegate_bench.footprint.sample import Sample, sample
from tidegate_bench.progress import Progress
from tidegate_bench.soak.client import Asking
from tidegate_bench.soak.disturbances import POLICY, Operator, disturbances, worker_of
from tidegate_bench.soak.slope import Slope, slope

TURN_S, QUICK_TURN_S = 20.0, 5.0
SWITCH_EVERY_S = 1.0
SAMPLE_EVERY_S = 2.0
WARM_UP_SHARE = 1 / 3
"""Of the whole: what is imported, cached and grown once is no leak."""
CALM, SWITCHING, DISTURBED = "calm", "switching", "disturbed"
P99_RATIO = 1.5


@dataclass(slots=True)
class Seen:
    """What was seen of a run so far: summaries by kind of turn, samples of both processes after the warm-up."""

    turns: dict[str, list[LoadSummary]] = field(default_factory=lambda: {CALM: [], SWITCHING: [], DISTURBED: []})
    supervisor: list[Sample] = field(default_factory=list)
    worker: list[Sample] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)


def run(*, minutes: float, quick: bool, progress: Progress) -> Figures:
    """Start an agent with a broker and keep at it. Raises BrokenError, NoProcError."""
    if sys.platform != "linux":
        raise NoProcError(f"soak reads /proc of Linux; this is {sys.platform}")
    turn_s, ends_s = (QUICK_TURN_S, 2 * 3 * QUICK_TURN_S) if quick else (TURN_S, 60.0 * minutes)
    seen = Seen()
    with TemporaryDirectory(prefix="tidegate-soak-") as made, ExitStack() as held:
        directory = Path(made)
        broker = held.enter_context(LocalBroker(directory / "broker"))
        agent = held.enter_context(started(_configured(directory, broker)))
        operator = held.enter_context(Operator(broker, "soak"))
        harm = disturbances(operator, agent.supervisor_pid)
        began_at, turn = time.monotonic(), 0
        while time.monotonic() - began_at < ends_s:
            kind = (CALM, SWITCHING, DISTURBED)[turn % 3]
            progress(f"{(time.monotonic() - began_at) / 60:.1f} of {ends_s / 60:g} minutes: {kind}")
            with Asking(profiles_directory() / "bundles/digits", directory / "tidegate.sock") as asking:
                warm = time.monotonic() - began_at >= WARM_UP_SHARE * ends_s
                _turn(kind, turn_s, operator, harm, agent, seen, warm=warm)
            seen.turns[kind].append(asking.summary)
            turn += 1
    return _figures(seen)


def _configured(directory: Path, broker: LocalBroker) -> Path:
    config = configure(directory, broker)
    policy = directory / "policy.yaml"
    policy.write_text(POLICY.format(version=1))
    document = yaml.safe_load(config.read_text())
    config.write_text(
        yaml.safe_dump({**document, "device": "soak", "policy": str(policy), "allow_unsigned": True})
    )
    return config


def _turn(
    kind: str,
    turn_s: float,
    operator: Operator,
    harm: Mapping[str, Callable[[], None]],
    agent: Started,
    seen: Seen,
    *,
    warm: bool,
) -> None:
    began_at = time.monotonic()
    switch_at, sample_at = began_at, began_at
    due = iter([(began_at + turn_s * share, name) for share, name in zip((0.1, 0.3, 0.5, 0.7), harm, strict=True)])
    next_harm = next(due) if kind == DISTURBED else None
    while (now := time.monotonic()) < began_at + turn_s:
        if kind != CALM and now >= switch_at:
            operator.switch()
            seen.done["switch"] = seen.done.get("switch", 0) + 1
            switch_at = now + SWITCH_EVERY_S
        if next_harm is not None and now >= next_harm[0]:
            harm[next_harm[1]]()
            seen.done[next_harm[1]] = seen.done.get(next_harm[1], 0) + 1
            next_harm = next(due, None)
        if warm and now >= sample_at:
            sample_at = now + SAMPLE_EVERY_S
            seen.supervisor.append(sample(agent.supervisor_pid))
            # One that is being replaced says nothing of how a worker grows.
            if kind != DISTURBED and (worker := worker_of(agent.supervisor_pid)) is not None:
                with suppress(OSError):  # it has been replaced since
                    seen.worker.append(sample(worker))
        time.sleep(0.05)


def _figures(seen: Seen) -> Figures:
    rows: list[Mapping[str, Cell]] = [_turn_row(kind, turns) for kind, turns in seen.turns.items()]
    rows += [{"disturbance": name, "times": times} for name, times in seen.done.items()]
    slopes = {"supervisor": _slope(seen.supervisor), "worker": _slope(seen.worker)}
    rows += [
        _process_row(name, samples, slopes[name])
        for name, samples in (("supervisor", seen.supervisor), ("worker", seen.worker))
    ]
    failed = sum(each.failed for turns in seen.turns.values() for each in turns)
    calm, switching = _p99_ms(seen.turns[CALM]), _p99_ms(seen.turns[SWITCHING])
    ratio = switching / calm if calm and switching else None
    goals = [
        Goal("failed requests", 0, failed, at_least=False),
        Goal("p99 while switching every second, over calm", P99_RATIO, ratio, at_least=False),
        *(
            Goal(
                f"{name}: RSS that grows beyond noise, MB an hour",
                0.0,
                None if found is None else round(found.beyond_noise, 2),
                at_least=False,
            )
            for name, found in slopes.items()
        ),
    ]
    return Figures("soak", rows, goals)


def _turn_row(kind: str, turns: list[LoadSummary]) -> Mapping[str, Cell]:
    return {
        "turns": kind,
        "served": sum(each.served for each in turns),
        "asked again": sum(each.retried for each in turns),
        "failed": sum(each.failed for each in turns),
        "p50 ms": _median([each.latency_p50_ms for each in turns]),
        "p99 ms": _p99_ms(turns),
    }


def _process_row(name: str, samples: list[Sample], grows: Slope | None) -> Mapping[str, Cell]:
    lasted_s = samples[-1].at_s - samples[0].at_s if len(samples) > 1 else 0.0
    one_process = name == "supervisor" and lasted_s > 0
    first, last = (samples[0], samples[-1]) if samples else (None, None)
    written = None
    if one_process and first and last and first.written_bytes is not None and last.written_bytes is not None:
        written = (last.written_bytes - first.written_bytes) / lasted_s * DAY_S / 1e6
    wakeups = (last.wakeups - first.wakeups) / lasted_s if one_process and first and last else None
    return {
        "process": name,
        "rss mb": _median([None if each.rss_bytes is None else each.rss_bytes / 1e6 for each in samples]),
        "grows mb an hour": None if grows is None else grows.per_hour,
        "standard error": None if grows is None else grows.error_per_hour,
        "wakeups per s": wakeups,
        "written mb per day": written,
    }


def _slope(samples: list[Sample]) -> Slope | None:
    return slope([(each.at_s, each.rss_bytes / 1e6) for each in samples if each.rss_bytes is not None])


def _p99_ms(turns: list[LoadSummary]) -> float | None:
    return _median([each.latency_p99_ms for each in turns])


def _median(values: list[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return median(told) if told else None
