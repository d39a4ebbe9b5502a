"""One engine's trials, in a process of its own: BUNDLE ENGINE CACHE SPIN in, a line of JSON for each point out."""

import json
import sys
import time
from pathlib import Path

from tidegate.engines.engine import Array, Engine, UnsupportedPoint, Variant
from tidegate.engines.runtime.choice import Trial
from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.ladder import OperatingPoint

_POINT_S = 0.15
_FEWEST_RUNS = 5


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
    """The process of one engine."""
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
