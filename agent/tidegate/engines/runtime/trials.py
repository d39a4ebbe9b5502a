"""Every installed engine at every point of a bundle, each in a child process of its own (trial_process).

A child each, because thread pools of two runtimes disturb each other's times, and because one that crashes must
cost no other. None is believed for its canaries alone: all answer the bundle's samples, and are compared.
"""

import json
import logging
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tidegate import child as child_process
from tidegate.engines.engine import Array
from tidegate.engines.runtime.agreement import judge
from tidegate.engines.runtime.choice import Trial
from tidegate.engines.runtime.placement import placement_of
from tidegate.engines.runtime.runtimes import ENGINES
from tidegate.models.bundle import Bundle

log = logging.getLogger(__name__)

MODULE = "tidegate.engines.runtime.trial_process"

DEADLINE_S = 30
"""For one engine with all its points; what it has not measured by then is out."""


def contest(bundle: Bundle, engines: Sequence[str], cache_dir: Path | None, spin: bool = False) -> list[Trial]:
    """A trial per engine and point, in the order of `engines`; for `spin` see `open_engine`.

    An engine that answers apart from the CPU is out at every point, with the count as the reason.
    """
    trials: list[Trial] = []
    answers: dict[tuple[str, str], Array] = {}
    with tempfile.TemporaryDirectory(prefix="tidegate-trials-") as directory:
        for engine in engines:
            own = Path(directory) / engine
            own.mkdir()
            trials += _trials(bundle, engine, cache_dir, spin, own)
            answers |= {(engine, point): outputs for point, outputs in _read_answers(bundle, own)}
    placements = {engine: placement_of(engine) for engine in engines if engine in ENGINES}
    judged = judge(bundle.ladder, bundle.calibration.comparison, placements, trials, answers)
    for certificate in judged.certificates.values():
        log.info("agreement: %s", certificate.in_words)
    return list(judged.trials)


def _read_answers(bundle: Bundle, directory: Path) -> Iterator[tuple[str, Array]]:
    """By point; without those that a child was ended over."""
    for rung, point in enumerate(bundle.ladder.points):
        try:
            yield point.name, np.load(directory / f"{rung}.npy", allow_pickle=False)
        except (OSError, ValueError):
            continue


def _trials(bundle: Bundle, engine: str, cache_dir: Path | None, spin: bool, answers: Path) -> list[Trial]:
    arguments = (str(bundle.path), engine, str(cache_dir or ""), "spin" if spin else "", str(answers))
    command = child_process.command(MODULE, *arguments)
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env=child_process.environment(),
        )
        output, ending, late = child.stdout, _ending(child), False
    except subprocess.TimeoutExpired as expired:
        raw = expired.stdout or b""
        output = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
        ending, late = f"was not done after {DEADLINE_S} s", True
    measured = {}
    for line in output.splitlines():
        if line.startswith("{"):
            trial = Trial(engine, **json.loads(line))
            measured[trial.point] = trial
    return [
        measured.get(point.name, Trial(engine, point.name, None, ending or "said nothing", late))
        for point in bundle.ladder.points
    ]


def _ending(child: "subprocess.CompletedProcess[str]") -> str:
    if child.returncode < 0:
        return f"was killed by signal {-child.returncode}"
    if child.returncode:
        return (child.stderr.strip().splitlines() or [f"ended with code {child.returncode}"])[-1]
    return ""
