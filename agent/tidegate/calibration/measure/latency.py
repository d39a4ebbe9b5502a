"""Latency of operating points at batch 1, and the number of threads that makes it least."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tidegate.engines.engine import Array, Engine, Variant
from tidegate.models.ladder import OperatingPoint

ROUNDS = 400
"""Timed runs per point: enough that the 95th percentile rests on twenty of them."""

_WARM_UP_ROUNDS = 20
THREAD_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one sample at batch 1, in milliseconds: median, 95th percentile and mean over the timed runs."""

    p50_ms: float
    p95_ms: float
    mean_ms: float


def fastest_threads(engine: Engine, point: OperatingPoint, inputs: Array) -> int:
    """The number of threads, a power of two up to the cores', at which a point answers soonest.

    One number serves a whole ladder: sums over other shares of the work differ in their last bits.
    """
    cores = os.cpu_count() or 1
    counts = [1 << power for power in range(cores.bit_length())]
    variants = [engine.prepare(replace(point, threads=count)) for count in counts]
    times = [latency.p50_ms for latency in measure_latency(variants, inputs, THREAD_ROUNDS)]
    for variant in variants:
        variant.release()
    return counts[int(np.argmin(times))]


def measure_latency(variants: Sequence[Variant], inputs: Array, rounds: int = ROUNDS) -> tuple[Latency, ...]:
    """Latency of each point over the same single samples, taken in turns so that drift hits all alike."""
    times_ms = np.empty((len(variants), rounds))
    for turn in range(-_WARM_UP_ROUNDS, rounds):
        sample = inputs[turn % len(inputs)][None]
        for index, variant in enumerate(variants):
            start = time.perf_counter()
            variant.run(sample)
            if turn >= 0:
                times_ms[index, turn] = (time.perf_counter() - start) * 1e3
    return tuple(Latency(*map(float, (*np.percentile(row, [50, 95]), row.mean()))) for row in times_ms)
