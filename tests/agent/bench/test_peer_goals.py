"""The goals of the engine benchmark: our best engine is held against the best of all others."""

from tidegate_bench.engine.peer_goals import goals
from tidegate_bench.engine.peer_race import Measured

PEERS = {
    "eager": 9.0,
    "ort fp32": 4.0,
    "ncnn fp32": 2.0,
    "onnx fp32": 3.0,
    "litert fp32": 2.2,
    "ort int8 dynamic": 1.0,
    "openvino int8": 1.5,
    "litert int8": 1.2,
    "litert int8 gated": 0.5,
}


def _goal(peers: dict[str, float | None], precision: str, others: int) -> tuple[float | None, bool]:
    table = {("net", 1, name): Measured(latency_ms=time, cpu_ms=time) for name, time in peers.items()}
    text = f"net, 1 thread: CPU time of our best {precision} / of the best of {others} others'"
    (found,) = [goal for goal in goals(table) if goal.goal == text]
    return found.value, found.met


def test_the_best_of_ours_is_held_against_the_best_of_all_others() -> None:
    assert _goal({**PEERS}, "fp32", 2) == (2.2 / 2.0, True)
    assert _goal({**PEERS}, "int8", 2) == (1.2, False)


def test_a_peer_without_figures_is_not_the_best_and_without_any_the_goal_is_missed() -> None:
    assert _goal({**PEERS, "ncnn fp32": None}, "fp32", 1) == (2.2 / 4.0, True)
    assert _goal({"litert int8": 1.0}, "int8", 0) == (None, False)
