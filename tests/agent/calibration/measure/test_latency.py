"""Latency, measured on nets whose order is known."""

import numpy as np

from tidegate.calibration.candidate import candidate
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.latency import measure_latency
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.graph import INPUT, Node, Ref, Segment, Weight
from tidegate.models.graph.operators import LINEAR
from tidegate.models.network import TrainedNetwork

WIDTH = 512


def linear(name: str, outputs: int) -> Segment:
    weight = Weight(f"{name}.linear.weight")
    return Segment(name, (WIDTH,), (Node("linear", LINEAR, (Ref(INPUT), weight), (outputs,)),))


def test_latencies_are_ordered_like_the_work_and_positive() -> None:
    """A hundred times the work, so that no noise turns it round."""
    blocks = [f"block_{i}" for i in range(40)]
    segments = (*(linear(name, WIDTH) for name in blocks), linear("head", 2))
    random = np.random.default_rng(0)
    arrays = {
        f"{segment.name}.linear.weight": random.normal(size=(*segment.output_shape, WIDTH)).astype(np.float32) / 23
        for segment in segments
    }
    engine = EagerEngine(TrainedNetwork(segments, arrays))
    settings = [KnobSettings(), KnobSettings(skip=frozenset(blocks))]
    variants = [engine.prepare(candidate(setting, "eager")) for setting in settings]
    full, skipped = measure_latency(variants, np.ones((3, WIDTH), np.float32), rounds=5)
    assert 0 < skipped.p50_ms < full.p50_ms
    assert full.p50_ms <= full.p95_ms
