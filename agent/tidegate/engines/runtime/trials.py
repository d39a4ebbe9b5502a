"""Every installed engine at every point of a bundle, each in a child process of its own (trial_process).

A child each, because thread pools of two runtimes disturb each other's times, and because one that crashes must
cost no other.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tidegate import child as child_process
from tidegate.engines.runtime.choice import Trial
from tidegate.models.bundle import Bundle

DEADLINE_S = 30
"""For one engine with all its points; what it has not measured by then is out."""


def contest(bundle: Bundle, engines: Sequence[str], cache_dir: Path | None, spin: bool = False) -> list[Trial]:
    """A trial per engine and point, in the order of `engines`; for `spin` see `open_engine`."""
    return [trial for engine in engines for trial in _trials(bundle, engine, cache_dir, spin)]


def _trials(bundle: Bundle, engine: str, cache_dir: Path | None, spin: bool) -> list[Trial]:
    arguments = (str(bundle.path), engine, str(cache_dir or ""), "spin" if spin else "")
    command = child_process.command("tidegate.engines.runtime.trial_process", *arguments)
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
