"""Figures of operating points on the report-only part V: shares, costs, and latency at batch 1."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tidegate.calibration.certify.risk import RiskMeasure
from tidegate.calibration.data.batches import answer_all
from tidegate.engines.engine import Array, Engine, Variant
from tidegate.models.ladder import Figures, OperatingPoint

ROUNDS = 400
"""Timed runs per point: enough that the 95th percentile rests on twenty of them."""

_WARM_UP_ROUNDS = 20
THREAD_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one sample, in milliseconds."""

    p50_ms: float
    p95_ms: float
    mean_ms: float


@dataclass(frozen=True, slots=True)
class Subject:
    """A point ready to answer, and its share of the full model's operations, which are counted elsewhere."""

    variant: Variant
    flops_ratio: float


def measure_figures(
    subjects: Sequence[Subject],
    inputs: Array,
    labels: npt.NDArray[np.int64] | None,
    risk: RiskMeasure,
) -> tuple[Figures, ...]:
    """Figures of each point against the first, which is the full model. Without labels accuracy and newly wrong
    are None."""
    latencies = measure_latency([subject.variant for subject in subjects], inputs)
    reference = answer_all(subjects[0].variant, inputs).outputs
    figures = []
    for subject, latency in zip(subjects, latencies, strict=True):
        answer = answer_all(subject.variant, inputs)
        wrong = risk.newly_wrong(reference, answer.outputs, labels)
        figures.append(
            Figures(
                n=len(inputs),
                accuracy=risk.accuracy(answer.outputs, labels),
                newly_wrong=None if wrong is None else float(wrong.mean()),
                disagreement=float(risk.differ(reference, answer.outputs).mean()),
                skip_ratio=answer.skip_ratio,
                flops_ratio=subject.flops_ratio,
                latency_p50_ms=latency.p50_ms,
                latency_p95_ms=latency.p95_ms,
                weights_resident_bytes=subject.variant.weights_resident_bytes,
                latency_mean_ms=latency.mean_ms,
            )
        )
    return tuple(figures)


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
