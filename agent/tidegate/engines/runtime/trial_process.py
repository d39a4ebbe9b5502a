"""One engine's trials, in a process of its own: BUNDLE ENGINE CACHE SPIN ANSWERS in, a line of JSON per point out.

What it answers to the bundle's samples goes to the directory ANSWERS, a file for each point, by its rung.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from tidegate.engines.engine import Array, Engine, UnsupportedPoint, Variant
from tidegate.engines.runtime.choice import Trial
from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.ladder import OperatingPoint

_POINT_S = 0.15
_SAMPLES_S = 1.0
"""For answering samples at one point, those that fit in; at least a chunk."""
_CHUNK = 20
_FEWEST_RUNS = 5


def measure(bundle: Bundle, engine: Engine, point: OperatingPoint, answers: Path) -> Trial:
    """Latency of one sample at a point, if its canaries get the answers that were recorded at calibration.

    What it answers to the samples is written to the file `answers`, (n, *output shape).
    """
    canaries = bundle.canaries()
    started = time.perf_counter()
    try:
        variant = engine.prepare(point)
    except UnsupportedPoint as error:
        return Trial(engine.name, point.name, None, f"can't: {error}")
    variant.run(canaries.inputs[:1])
    first_ms = (time.perf_counter() - started) * 1e3
    agreement = canaries.agreement(point.name, variant.run(canaries.inputs).outputs)
    if agreement == 1:
        np.save(answers, _answered(variant, bundle.samples().inputs()))
    latency_ms = None if agreement < 1 else _median_ms(variant, canaries.inputs)
    variant.release()
    reason = "" if latency_ms is not None else f"answers {agreement:.0%} of the canaries as recorded"
    return Trial(engine.name, point.name, latency_ms, reason, first_ms=first_ms)


def _answered(variant: Variant, inputs: Array) -> Array:
    chunks: list[Array] = []
    end = time.perf_counter() + _SAMPLES_S
    for start in range(0, len(inputs), _CHUNK):
        chunks.append(variant.run(inputs[start : start + _CHUNK]).outputs)
        if time.perf_counter() > end:
            break
    return np.concatenate(chunks)


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
    path, name, cache_dir, spin, answers = sys.argv[1:]
    bundle = open_bundle(Path(path))
    engine = open_engine(name, bundle, Path(cache_dir) if cache_dir else None, bool(spin))
    for rung, point in enumerate(bundle.ladder.points):
        trial = measure(bundle, engine, point, Path(answers) / f"{rung}.npy")
        line = {
            "point": trial.point,
            "latency_ms": trial.latency_ms,
            "reason": trial.reason,
            "first_ms": trial.first_ms,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
