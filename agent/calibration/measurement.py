"""Figures of operating points on the report-only part V: shares, costs, and latency at batch 1."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from agent.calibration.batches import run
from agent.calibration.cost import CostModel
from agent.calibration.risk import RiskMeasure, newly_wrong
from agent.calibration.setting import Setting
from agent.engines.eager import EagerEngine
from agent.engines.engine import Array
from agent.engines.staged import StagedNetwork
from agent.models.ladder import Figures

ROUNDS = 400
"""Timed runs per point: enough that the 95th percentile rests on twenty of them."""

_WARM_UP_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one sample, in milliseconds."""

    p50_ms: float
    p95_ms: float


def measure_figures(
    engine: EagerEngine,
    costs: CostModel,
    settings: Sequence[Setting],
    inputs: Array,
    labels: npt.NDArray[np.int64] | None,
    risk: RiskMeasure,
) -> tuple[Figures, ...]:
    """Figures of each setting against the first, which is the full model. Sets torch to one thread.

    Without labels accuracy and newly wrong are None.
    """
    torch.set_num_threads(1)
    networks = [engine.build(setting) for setting in settings]
    latencies = measure_latency(networks, inputs)
    reference = run(networks[0], inputs).outputs
    figures = []
    for network, latency in zip(networks, latencies, strict=True):
        done = run(network, inputs)
        executed = sum(done.executed.values())
        total = len(inputs) * len(done.executed)
        wrong = None if labels is None else newly_wrong(reference, done.outputs, labels)
        figures.append(
            Figures(
                n=len(inputs),
                accuracy=None if labels is None else float((done.outputs.argmax(1) == labels).mean()),
                newly_wrong=None if wrong is None else float(wrong.mean()),
                disagreement=float(risk.differ(reference, done.outputs).mean()),
                skip_ratio=(total - executed) / total if total else 0.0,
                flops_ratio=costs.cost(network, done).flops_ratio,
                latency_p50_ms=latency.p50_ms,
                latency_p95_ms=latency.p95_ms,
                weights_resident_bytes=network.weights_resident_bytes,
            )
        )
    return tuple(figures)


def measure_latency(networks: Sequence[StagedNetwork], inputs: Array, rounds: int = ROUNDS) -> tuple[Latency, ...]:
    """Latency of each network over the same single samples, taken in turns so that drift hits all alike."""
    times_ms = np.empty((len(networks), rounds))
    for turn in range(-_WARM_UP_ROUNDS, rounds):
        sample = inputs[turn % len(inputs)][None]
        for index, network in enumerate(networks):
            start = time.perf_counter()
            network.forward(sample)
            if turn >= 0:
                times_ms[index, turn] = (time.perf_counter() - start) * 1e3
    return tuple(Latency(*map(float, np.percentile(row, [50, 95]))) for row in times_ms)
