"""The zoo at full size: what each precision takes in memory and time, one process per figure."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tidegate.calibration.fit.activation_statistics import collect_statistics, uniform
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.ladder import Precision
from tidegate_bench.adaptive_activation.full_network import full_network
from tidegate_bench.adaptive_activation.held_memory import measure
from tidegate_bench.adaptive_activation.knobs import uniform_int8
from tidegate_bench.adaptive_activation.memory import MemoryFigures
from tidegate_bench.figures import Cell
from tidegate_bench.progress import Progress
from tidegate_bench.zoo.catalog import ZOO

_IMAGES = 2


def full_size_rows(
    name: str, resolution: int, weights: Path | None, progress: Progress
) -> Iterator[dict[str, Cell]]:
    """The five memory figures and the latency at fp32, bf16, int8 and int4 weights.

    Sparsity of random weights means little: the encoded figure is then only about half zeros behind each ReLU.
    """
    network = full_network(name, resolution, weights)
    images = np.random.default_rng(0).random((_IMAGES, ZOO[name].channels, resolution, resolution), np.float32)
    statistics = collect_statistics(Tracer(network), images)
    settings = {
        Precision.FP32: KnobSettings(),
        Precision.BF16: KnobSettings(precision=Precision.BF16),
        Precision.INT8: uniform_int8(statistics),
        Precision.INT4: KnobSettings(precision=Precision.INT4, activations=uniform(statistics, 8)),
    }
    disk = sum(array.nbytes for array in network.arrays.values())
    for precision, setting in settings.items():
        progress(f"{name} at {resolution}x{resolution}: {precision}")
        # A tracer keeps dequantized what it has seen of every precision: a new one each, for VGG's sake.
        trace = Tracer(network).trace(setting, images)
        held = measure(name, precision, resolution, weights)
        memory = MemoryFigures(
            disk,
            trace.weights_resident_bytes,
            trace.peak_live_dense_bytes,
            trace.peak_live_encoded_bytes,
            held.rss_bytes,
            held.pss_bytes,
        )
        yield _row(name, resolution, precision, memory, held.latency_p50_ms, weights)


def _row(
    name: str,
    resolution: int,
    precision: Precision,
    memory: MemoryFigures,
    latency_ms: float,
    weights: Path | None,
) -> dict[str, Cell]:
    return {
        "model": f"{name}, full size, {resolution}x{resolution}",
        "weights": "random" if weights is None else weights.name,
        "method": f"{precision} weights" + (", 8 bit activations" if precision.startswith("int") else ""),
        "weights_disk_mib": memory.weights_disk_bytes / 2**20,
        "weights_resident_mib": memory.weights_resident_bytes / 2**20,
        "peak_live_dense_mib": memory.peak_live_dense_bytes / 2**20,
        "peak_live_encoded_mib": memory.peak_live_encoded_bytes / 2**20,
        "process_rss_mib": None if memory.process_rss_bytes is None else memory.process_rss_bytes / 2**20,
        "process_pss_mib": None if memory.process_pss_bytes is None else memory.process_pss_bytes / 2**20,
        "latency_p50_ms": latency_ms,
    }
