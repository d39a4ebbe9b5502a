"""Every installed engine at every point of a bundle, each in a child process of its own.

`python -m tidegate.engines.contest BUNDLE ENGINE CACHE SPIN` prints a line of JSON per point. A child each,
because thread pools of two runtimes disturb each other's times, and because one that crashes must cost no other.
"""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tidegate import child as child_process
from tidegate.engines.choice import Trial
from tidegate.engines.engine import Array, Engine, UnsupportedPoint, Variant
from tidegate.engines.memory import keep_one_heap
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.ladder import OperatingPoint

log = logging.getLogger(__name__)

DEADLINE_S = 30
"""For one engine with all its points; what it has not measured by then is out."""
_POINT_S = 0.15
_FEWEST_RUNS = 5


def contest(bundle: Bundle, engines: Sequence[str], cache_dir: Path | None, spin: bool = False) -> list[Trial]:
    """A trial per engine and point, in the order of `engines`; for `spin` see `open_engine`."""
    return [trial for engine in engines for trial in _trials(bundle, engine, cache_dir, spin)]


def _trials(bundle: Bundle, engine: str, cache_dir: Path | None, spin: bool) -> list[Trial]:
    arguments = (str(bundle.path), engine, str(cache_dir or ""), "spin" if spin else "")
    command = child_process.command("tidegate.engines.contest", *arguments)
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


def measure(bundle: Bundle, engine: Engine, point: OperatingPoint) -> Trial:
    """Latency of one sample at a point, if its canaries get the answers that were recorded at calibration."""
    try:
        variant = engine.prepare(point)
    except UnsupportedPoint as error:
        return Trial(engine.name, point.name, None, f"can't: {error}")
    canaries = bundle.canaries()
    agreement = canaries.agreement(point.name, variant.run(canaries.inputs).outputs)
    latency_ms = None if agreement < 1 else _median_ms(variant, canaries.inputs)
    variant.release()
    reason = "" if latency_ms is not None else f"answers {agreement:.0%} of the canaries as recorded"
    return Trial(engine.name, point.name, latency_ms, reason)


def _median_ms(variant: Variant, inputs: Array) -> float:
    variant.run(inputs[:1])
    times: list[float] = []
    while len(times) < _FEWEST_RUNS or sum(times) < _POINT_S:
        start = time.perf_counter()
        variant.run(inputs[:1])
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1e3


def main() -> None:
    """The child."""
    from tidegate.engines.catalog import open_engine  # noqa: PLC0415 - the catalog knows of contests

    keep_one_heap()
    path, name, cache_dir, spin = sys.argv[1:]
    bundle = open_bundle(Path(path))
    engine = open_engine(name, bundle, Path(cache_dir) if cache_dir else None, bool(spin))
    for point in bundle.ladder.points:
        trial = measure(bundle, engine, point)
        line = {"point": trial.point, "latency_ms": trial.latency_ms, "reason": trial.reason}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
