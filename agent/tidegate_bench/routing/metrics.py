"""The routing paper's metrics (section 4) over batches of one network, counted from blocks that really ran."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psutil

from tidegate.engines.engine import Array
from tidegate.engines.reference.staged import StagedNetwork
from tidegate_bench.figures import Cell
from tidegate_drivers.energy_meter import EnergyMeter

HISTOGRAM_BINS = 10
WARM_UP_BATCHES = 3

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: outputs (samples, *output shape), and per batch its time, the process's memory, its skip ratio."""

    outputs: Array
    times_ms: Values
    rss_mib: Values
    skip_ratios: Values
    executed: int
    blocks: int
    energy_mj: float | None

    @property
    def samples(self) -> int:
        """Inputs answered."""
        return len(self.outputs)


def measure(network: StagedNetwork, inputs: Array, batch_size: int, meter: EnergyMeter | None) -> Measured:
    """Answer all inputs in batches; a skipped block is one that was not computed for a sample."""
    batches = [inputs[start : start + batch_size] for start in range(0, len(inputs), batch_size)]
    for batch in batches[:WARM_UP_BATCHES]:
        network.forward(batch)
    process = psutil.Process()
    times_ms, rss_mib, skipped, outputs, executed = [], [], [], [], 0
    blocks = 0

    def work() -> None:
        nonlocal executed, blocks
        for batch in batches:
            start = time.perf_counter()
            done = network.forward(batch)
            times_ms.append((time.perf_counter() - start) * 1e3)
            rss_mib.append(process.memory_info().rss / 2**20)
            blocks = len(done.executed)
            ran = sum(done.executed.values())
            executed += ran
            skipped.append(1 - ran / (len(batch) * blocks))
            outputs.append(done.outputs)

    joules = None
    if meter is None:
        work()
    else:
        joules = meter.spent_j(work)
    return Measured(
        np.concatenate(outputs),
        np.array(times_ms),
        np.array(rss_mib),
        np.array(skipped),
        executed,
        blocks,
        None if joules is None else joules * 1e3,
    )


def skip_ratio(runs: Sequence[Measured]) -> float:
    """Share of samples x blocks that were not computed."""
    return 1 - sum(run.executed for run in runs) / sum(run.samples * run.blocks for run in runs)


def summary(runs: Sequence[Measured]) -> dict[str, Cell]:
    """All metrics over all runs together, under the paper's names; quartiles and histogram are of batches."""
    times_ms = np.concatenate([run.times_ms for run in runs])
    rss_mib = np.concatenate([run.rss_mib for run in runs])
    skip_ratios = np.concatenate([run.skip_ratios for run in runs])
    samples = sum(run.samples for run in runs)
    quartiles = np.percentile(skip_ratios, [25, 50, 75])
    counts, _ = np.histogram(skip_ratios, HISTOGRAM_BINS, (0, 1))
    spent = [run.energy_mj for run in runs if run.energy_mj is not None]
    return {
        "skip_ratio": skip_ratio(runs),
        "block_compute_ratio": 1 - skip_ratio(runs),
        "latency_mean_ms": float(times_ms.mean()),
        "latency_median_ms": float(np.percentile(times_ms, 50)),
        "latency_p99_ms": float(np.percentile(times_ms, 99)),
        "latency_std_ms": float(times_ms.std()),
        "throughput_per_s": samples / float(times_ms.sum()) * 1e3,
        "rss_p50_mib": float(np.percentile(rss_mib, 50)),
        "rss_p99_mib": float(np.percentile(rss_mib, 99)),
        "rss_peak_mib": float(rss_mib.max()),
        "rss_std_mib": float(rss_mib.std()),
        "energy_mj_per_sample": sum(spent) / samples if len(spent) == len(runs) else "unavailable",
        "skip_q25": float(quartiles[0]),
        "skip_q50": float(quartiles[1]),
        "skip_q75": float(quartiles[2]),
        "skip_histogram": " ".join(map(str, counts)),
    }
