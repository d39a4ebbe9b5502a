"""`tidegate bench batching`: sizes take turns on an engine, and the largest is judged."""

from pathlib import Path

import pytest

from tidegate_bench.batching.bench import SIZES, WORTH, Measured, goals, measured
from tidegate_bench.engine.networks import keep_subject


@pytest.mark.slow
def test_every_size_is_measured_on_every_engine(tmp_path: Path) -> None:
    keep_subject("resnet20", tmp_path)
    for engine in ("onnx", "litert"):
        pytest.importorskip({"onnx": "onnxruntime", "litert": "ai_edge_litert"}[engine])
        found = measured("resnet20", tmp_path, engine, "int8", 1, block_ns=1)
        assert [each.size for each in found] == [*SIZES]
        assert found[0].over_single == 1.0
        assert all(each.sample_us > 0 for each in found)


def test_the_largest_size_is_judged() -> None:
    found = [
        Measured("net", "onnx", "fp32", size, 100.0, ratio) for size, ratio in ((1, 1.0), (4, 0.9), (8, 0.85))
    ]
    (goal,) = goals(found)
    assert (goal.target, goal.value, goal.met) == (WORTH, 0.85, False)
