"""`tidegate bench footprint`: memory, CPU, wake-ups and writes of an idle agent, and what its start takes.

By the protocol of AWS Greengrass nucleus lite for idle figures: five minutes of warm-up, then the median of ten.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.fleet.broker import LocalBroker, find_mosquitto
from tidegate_bench.broken import BrokenError
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.footprint.agent import Started, configure, started
from tidegate_bench.footprint.idle import Idle, idle
from tidegate_bench.footprint.sample import Sample, sample
from tidegate_bench.progress import Progress

WARM_UP_S, MEASURED_S = 300.0, 600.0
QUICK_WARM_UP_S, QUICK_MEASURED_S = 10.0, 30.0
EVERY_S = 5.0
STARTS, QUICK_STARTS = 5, 2

PSS_MB, CPU_PERCENT, READY_CPU_S, WAKEUPS_HZ = 40.0, 0.3, 2.5, 5.0


class NoProcError(TidegateError):
    """This system has no /proc to read the figures from."""

    exit_code = EX_UNAVAILABLE


def run(*, quick: bool, progress: Progress) -> Figures:
    """Start an agent a few times, then leave the last one alone. Raises BrokenError, NoProcError."""
    if sys.platform != "linux":
        raise NoProcError(f"footprint reads /proc of Linux; this is {sys.platform}")
    warm_up_s, measured_s = (QUICK_WARM_UP_S, QUICK_MEASURED_S) if quick else (WARM_UP_S, MEASURED_S)
    with TemporaryDirectory(prefix="tidegate-footprint-") as made, ExitStack() as held:
        directory = Path(made)
        there = find_mosquitto() is not None
        broker = held.enter_context(LocalBroker(directory / "broker")) if there else None
        config = configure(directory, broker)
        starts: list[Started] = []
        for number in range(1 + (QUICK_STARTS if quick else STARTS)):
            progress(f"start {number + 1}")
            with started(config) as ready:
                starts.append(ready)
        with started(config) as agent:
            progress(f"idle for {warm_up_s:g} s, then measured for {measured_s:g} s")
            supervisor, worker = _watch(agent, warm_up_s, measured_s)
        disk = _is_on_a_disk(directory)
    return _figures(starts, idle(supervisor), idle(worker), broker=broker is not None, disk=disk)


def _watch(agent: Started, warm_up_s: float, measured_s: float) -> tuple[Sequence[Sample], Sequence[Sample]]:
    time.sleep(warm_up_s)
    supervisor: list[Sample] = []
    worker: list[Sample] = []
    try:
        for number in range(1 + round(measured_s / EVERY_S)):
            if number:
                time.sleep(EVERY_S)
            supervisor.append(sample(agent.supervisor_pid))
            worker.append(sample(agent.worker_pid))
    except OSError as error:
        raise BrokenError(f"a process ended while it was watched: {error}") from error
    return supervisor, worker


def _is_on_a_disk(directory: Path) -> bool:
    """Whether what is written there goes to a block device: the kernel counts no bytes for a tmpfs."""
    return directory.stat().st_dev >> 8 != 0


def _figures(starts: Sequence[Started], supervisor: Idle, worker: Idle, *, broker: bool, disk: bool) -> Figures:
    first, again = starts[0], starts[1:]
    cpu_s = median(each.cpu_s for each in again)
    idle_rows: list[Mapping[str, Cell]] = [
        {
            "process": name,
            "telemetry": "to a broker" if broker else "kept: no mosquitto here",
            **_row(figures, disk=disk),
        }
        for name, figures in (("supervisor", supervisor), ("worker", worker))
    ]
    start_rows: list[Mapping[str, Cell]] = [
        {"start": "the first, which tries engines", "cpu_s": first.cpu_s, "wall_s": first.wall_s},
        {"start": f"median of {len(again)} more", "cpu_s": cpu_s, "wall_s": median(e.wall_s for e in again)},
    ]
    return Figures(
        bench="footprint",
        rows=[*idle_rows, *start_rows],
        goals=[
            Goal("supervisor, PSS in MB", PSS_MB, supervisor.pss_mb, at_least=False),
            Goal("supervisor, idle CPU of one core in %", CPU_PERCENT, supervisor.cpu_percent, at_least=False),
            Goal(
                "wake-ups a second, both processes",
                WAKEUPS_HZ,
                supervisor.wakeups_per_s + worker.wakeups_per_s,
                at_least=False,
            ),
            Goal("CPU from start to READY in s, both processes", READY_CPU_S, cpu_s, at_least=False),
        ],
    )


def _row(figures: Idle, *, disk: bool) -> dict[str, Cell]:
    row: dict[str, Cell] = asdict(figures)
    return row if disk else {**row, "written_mb_per_day": None}
