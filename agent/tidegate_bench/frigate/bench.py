"""`tidegate bench frigate`: a detector of Frigate's asks for boxes through switches, kills and hand-overs.

A minute is compressed to seconds, so many that a worker lives long enough to count as healthy: in each one the
policy asks for another point, Frigate is started again (with another model, where models are handed over), and
the worker is killed. A picture whose reply Frigate would have given up is asked for once more after Frigate's own
recovery; one that has no reply then is lost. Replies without the right boxes, as the answer came too late, are
counted by themselves.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import yaml

from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.footprint.agent import Started, configure, started
from tidegate_bench.footprint.bench import NoProcError
from tidegate_bench.footprint.sample import sample
from tidegate_bench.frigate.client import FrigateClient
from tidegate_bench.frigate.subject import CHEAP, FULL, keep_bundle, keep_file, picture, row_of
from tidegate_bench.progress import Progress
from tidegate_bench.soak.disturbances import kill_worker, worker_of
from tidegate_bench.soak.slope import slope

QUICK_MINUTES = 1
PICTURES_HZ = 20.0
SWITCH_AT, FRIGATE_AT, KILL_AT = 0.2, 0.4, 0.7
VERSIONS = 2
"""Of the model; Frigate hands each of them over in turn."""
POLICY = """\
tidegate: 1
name: frigate
version: {version}
max_accuracy_loss: 5 %
default: {{use: {point}}}
dwell: {{down: 0 s, up: 0 s}}
"""


@dataclass(frozen=True, slots=True)
class Phase:
    """Who answers, whether workers are killed, and how long a minute takes."""

    name: str
    hand_over: bool
    kills: bool
    minute_s: float


PHASES = (
    Phase("bundle, switches and kills", hand_over=False, kills=True, minute_s=15.0),
    Phase("models handed over, kills", hand_over=True, kills=True, minute_s=15.0),
    Phase("models handed over, one worker", hand_over=True, kills=False, minute_s=2.0),
)


@dataclass(slots=True)
class Seen:
    """What came of one phase; `rss_mb` of the worker and of the supervisor, by minute."""

    phase: Phase
    pictures: int = 0
    asked_again: int = 0
    lost: int = 0
    without_boxes: int = 0
    late: int = 0
    switches: int = 0
    starts: int = 0
    handed_over: int = 0
    kills: int = 0
    pauses_s: list[float] = field(default_factory=list)
    worker_mb: list[float] = field(default_factory=list)
    supervisor_mb: list[float] = field(default_factory=list)


def run(*, minutes: int, quick: bool, progress: Progress) -> Figures:
    """All phases, one after the other. Raises BrokenError, NoProcError."""
    if sys.platform != "linux":
        raise NoProcError(f"frigate reads /proc of Linux; this is {sys.platform}")
    minutes = QUICK_MINUTES if quick else minutes
    with TemporaryDirectory(prefix="tidegate-frigate-") as made:
        progress("building the bundle and the models")
        keep_bundle(Path(made) / "cells")
        models = [Path(made) / f"cells-{version}.onnx" for version in range(VERSIONS)]
        for version, model in enumerate(models):
            keep_file(model, version)
        found = [_phase(phase, minutes, Path(made), models, progress) for phase in PHASES]
    return Figures("frigate", [_row(each) for each in found], goals(found))


def _phase(phase: Phase, minutes: int, kept: Path, models: list[Path], progress: Progress) -> Seen:
    seen = Seen(phase)
    with TemporaryDirectory(prefix="tidegate-frigate-") as made:
        directory = Path(made)
        path = directory / "frigate.sock"
        config = _configured(directory, kept / "cells", path, phase)
        with started(config) as agent:
            client = FrigateClient(f"ipc://{path}", models[0])
            for minute in range(minutes):
                progress(f"{phase.name}: minute {minute + 1} of {minutes}")
                _minute(minute, seen, agent, directory, client, models)
            seen.late, seen.pauses_s = client.counts.late, client.counts.pauses_s
            seen.handed_over = client.counts.handed_over
            client.close()
    return seen


def _configured(directory: Path, bundle: Path, path: Path, phase: Phase) -> Path:
    config = configure(directory, None)
    policy = directory / "policy.yaml"
    policy.write_text(POLICY.format(version=1, point=FULL))
    frigate = {"unix": str(path), "hand_over": phase.hand_over}
    document = yaml.safe_load(config.read_text())
    document |= {"device": "frigate", "bundle": str(bundle), "policy": str(policy), "frigate": frigate}
    config.write_text(yaml.safe_dump(document))
    return config


def _minute(
    minute: int, seen: Seen, agent: Started, directory: Path, client: FrigateClient, models: list[Path]
) -> None:
    def switch() -> None:
        text = POLICY.format(version=minute + 2, point=FULL if minute % 2 else CHEAP)
        (directory / "policy.yaml").write_text(text)
        os.kill(agent.supervisor_pid, signal.SIGHUP)
        seen.switches += 1

    def start_frigate() -> None:
        client.hand_over(models[minute % len(models)])
        seen.starts += 1

    def kill() -> None:
        if seen.phase.kills:
            kill_worker(agent.supervisor_pid)
            seen.kills += 1

    began_s = time.monotonic()
    due = iter([(SWITCH_AT, switch), (FRIGATE_AT, start_frigate), (KILL_AT, kill)])
    next_due = next(due, None)
    while (into_s := time.monotonic() - began_s) < seen.phase.minute_s:
        if next_due is not None and into_s >= next_due[0] * seen.phase.minute_s:
            if next_due[1] is kill:
                _measure(seen, agent)
            next_due[1]()
            next_due = next(due, None)
        _ask(seen, client)
        time.sleep(1 / PICTURES_HZ)


def _ask(seen: Seen, client: FrigateClient) -> None:
    number, seen.pictures = seen.pictures, seen.pictures + 1
    place = (number % 4, number // 4 % 4, number % 2)
    rows = client.detect(picture(*place))
    if rows is None:
        seen.asked_again += 1
        rows = client.detect(picture(*place))
    if rows is None:
        seen.lost += 1
    elif not _right(rows, place):
        seen.without_boxes += 1


def _right(rows: npt.NDArray[np.float32], place: tuple[int, int, int]) -> bool:
    expected = (*row_of(*place), 0.0)
    found = (*rows[0, :1], *rows[0, 2:], rows[1, 1])
    return all(abs(one - other) < 1e-3 for one, other in zip(found, expected, strict=True))


def _measure(seen: Seen, agent: Started) -> None:
    for pid, kept in (
        (worker_of(agent.supervisor_pid), seen.worker_mb),
        (agent.supervisor_pid, seen.supervisor_mb),
    ):
        resident = None if pid is None else sample(pid).rss_bytes
        if resident is not None:
            kept.append(resident / 1e6)


def _row(seen: Seen) -> Mapping[str, Cell]:
    return {
        "phase": seen.phase.name,
        "pictures": seen.pictures,
        "switches": seen.switches,
        "Frigate starts": seen.starts,
        "handed over": seen.handed_over,
        "kills": seen.kills,
        "late": seen.late,
        "asked again": seen.asked_again,
        "lost": seen.lost,
        "without boxes": seen.without_boxes,
        "pause s, median": median(seen.pauses_s) if seen.pauses_s else None,
        "pause s, longest": max(seen.pauses_s, default=None),
        "worker MB": median(seen.worker_mb) if seen.worker_mb else None,
        "supervisor MB": median(seen.supervisor_mb) if seen.supervisor_mb else None,
    }


def goals(found: list[Seen]) -> list[Goal]:
    """Nothing is lost, nothing is late but for kills, and no process grows beyond noise."""
    lost, without, late, kills = (
        sum(getattr(each, name) for each in found) for name in ("lost", "without_boxes", "late", "kills")
    )
    last = found[-1]
    return [
        Goal("pictures without a reply after Frigate's own retry", 0, lost, at_least=False),
        Goal("replies without the picture's boxes", 0, without, at_least=False),
        Goal("pictures without a reply in time, beyond one a kill", 0, max(0, late - kills), at_least=False),
        Goal("worker: MB an hour of 60 hand-overs, beyond noise", 0, _grows(last.worker_mb), at_least=False),
        Goal("supervisor: MB an hour, beyond noise", 0, _grows(last.supervisor_mb), at_least=False),
    ]


def _grows(megabytes: list[float]) -> float | None:
    """By minute, without the first third: what is imported, cached and grown once is no leak."""
    warm = megabytes[len(megabytes) // 3 :]
    found = slope([(60.0 * minute, each) for minute, each in enumerate(warm)])
    return None if found is None else round(found.beyond_noise, 2)
