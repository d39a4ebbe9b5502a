"""`tidegate bench apple` on the shipped network: what is shown without a Mac holds."""

from importlib.util import find_spec

import pytest

if any(find_spec(each) is None for each in ("coremltools", "mlx", "coreai")):
    pytest.skip("needs tidegate[apple,coreai]", allow_module_level=True)

from tidegate_bench.apple.bench import run

pytestmark = pytest.mark.slow


def test_all_goals_of_the_shipped_network_are_met() -> None:
    figures = run(quick=True, progress=lambda _said: None)
    assert {goal.goal for goal in figures.goals if not goal.met} == set()
    assert {row["runtime"] for row in figures.rows} == {"coreml", "mlx", "coreai"}
    assert {row["how"] for row in figures.rows} == {"interpreted", "executed"}
