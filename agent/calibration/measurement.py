"""Figures of operating points on the report-only part V: shares, costs, and latency at batch 1."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from agent.calibration.cost import CostModel
from agent.calibration.setting import Setting
from agent.engines.eager import EagerEngine, EagerNetwork
from agent.engines.engine import Array
from agent.models.ladder import Figures

ROUNDS = 400
"""Timed runs per point: enough that the 95th percentile rests on twenty of them."""

_WARM_UP_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one sample, in milliseconds."""

    p50_ms: float
    p95_ms: float


def newly_wrong(reference: Array, outputs: Array, labels: npt.NDArray[np.int64]) -> int:
    """In how many samples the reference (samples, classes) is right and the outputs are wrong."""
    return int(((reference.argmax(1) == labels) & (outputs.argmax(1) != labels)).sum())


def measure_figures(
    engine: EagerEngine,
    costs: CostModel,
    settings: Sequence[Setting],
    inputs: Array,
    labels: npt.NDArray[np.int64],
) -> tuple[Figures, ...]:
    """Figures of each setting against the first, which is the full model. Sets torch to one thread."""
    torch.set_num_threads(1)
    networks = [engine.build(setting) for setting in settings]
    latencies = measure_latency(networks, inputs)
    reference = networks[0].forward(inputs).outputs
    figures = []
    for setting, network, latency in zip(settings, networks, latencies, strict=True):
        done = network.forward(inputs)
        executed = sum(done.executed.values())
        total = len(labels) * len(done.executed)
        figures.append(
            Figures(
                n=len(labels),
                accuracy=float((done.outputs.argmax(1) == labels).mean()),
                newly_wrong=newly_wrong(reference, done.outputs, labels) / len(labels),
                disagreement=float((done.outputs.argmax(1) != reference.argmax(1)).mean()),
                skip_ratio=(total - executed) / total if total else 0.0,
                flops_ratio=costs.cost(setting, network, done).flops_ratio,
                latency_p50_ms=latency.p50_ms,
                latency_p95_ms=latency.p95_ms,
                weights_resident_bytes=network.weights_resident_bytes,
            )
        )
    return tuple(figures)


def measure_latency(networks: Sequence[EagerNetwork], inputs: Array, rounds: int = ROUNDS) -> tuple[Latency, ...]:
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
