"""The race of a ladder against fixed peers: who takes part, and by what it is judged."""

from tidegate.models.ladder import Certificate, Figures, Ladder, OperatingPoint, Risk
from tidegate_bench.engine.ladder_race import Measured, entered, goals

FIGURES = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)


def point(name: str, engine: str, alpha: float | None) -> OperatingPoint:
    certificate = None if alpha is None else Certificate(Risk.NEWLY_WRONG, alpha, 0.05, 700, 0)
    return OperatingPoint(name, engine, FIGURES, certificate)


def measured(contestant: str, mean_ms: float, cpu_ms: float, certified: float | None = None) -> Measured:
    return Measured(contestant, 1, 1.0, mean_ms, cpu_ms, 0.0, certified)


def test_each_engine_enters_with_full_its_first_and_its_cheapest_certified_point() -> None:
    ladder = Ladder(
        (
            point("full", "eager", 0.0),
            point("int8-litert", "litert", 0.015),
            point("mid-litert", "litert", 0.015),
            point("low-litert", "litert", 0.015),
            point("beyond-litert", "litert", None),
            point("int8-onnx", "onnx", 0.015),
        )
    )
    expected = ["litert:full", "litert:int8-litert", "litert:low-litert", "onnx:full", "onnx:int8-onnx"]
    assert list(entered(ladder)) == expected


def test_the_best_int8_peer_sets_the_mark_and_fp32_peers_do_not() -> None:
    rivals = [measured("ort fp32", 1.0, 1.0), measured("ort int8", 4.0, 8.0), measured("openvino int8", 3.0, 9.0)]
    ours = [measured("onnx:full", 0.5, 0.5, 0.0), measured("onnx:low", 2.0, 6.0, 0.015)]
    latency, cpu = goals([*rivals, *ours])
    assert (latency.value, latency.met) == (1.5, True)
    assert (cpu.value, cpu.met) == (8.0 / 6.0, False)


def test_without_a_certified_point_or_a_peer_the_goals_are_missed() -> None:
    assert [goal.value for goal in goals([measured("ort int8", 4.0, 8.0)])] == [None, None]
    assert not any(goal.met for goal in goals([measured("onnx:low", 2.0, 6.0, 0.015)]))
