"""`tidegate bench apple` on the shipped network, and Core AI on large ones: what is shown without a Mac holds."""

from importlib.util import find_spec

import numpy as np
import pytest

if any(find_spec(each) is None for each in ("coremltools", "mlx", "coreai")):
    pytest.skip("needs tidegate[apple-on-linux,coreai]", allow_module_level=True)

from tidegate.engines.coreai.engine import CoreAiEngine
from tidegate.engines.coreai.graph_builder import Dtype
from tidegate.engines.reference.eager import EagerEngine
from tidegate_bench.apple.bench import run
from tidegate_bench.apple.subjects import LARGE, large

pytestmark = pytest.mark.slow


def test_all_goals_of_the_shipped_network_are_met() -> None:
    figures = run(quick=True, progress=lambda _said: None)
    assert {goal.goal for goal in figures.goals if not goal.met} == set()
    assert {row["runtime"] for row in figures.rows} == {"coreml", "mlx", "coreai"}
    assert {row["how"] for row in figures.rows} == {"interpreted", "executed"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 1e-4), (np.float16, 0.02)], ids=["fp32", "fp16"])
def test_core_ai_executes_large_networks_as_eager_does(name: str, dtype: Dtype, most: float) -> None:
    subject = large(name)
    inputs, point = subject.inputs[:1], subject.points[0]
    expected = EagerEngine(subject.network).prepare(point).run(inputs).outputs
    outputs = CoreAiEngine(subject.network, [point], dtype).prepare(point).run(inputs).outputs
    assert np.abs(outputs - expected).max() <= most * np.abs(expected).max()
    assert outputs.argmax() == expected.argmax()
