"""Which engine runs which operating point, from what each engine was measured to do here. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NEAR = 1.05
"""An engine within 5 % of the fastest is as good as it: below that, timings don't repeat."""

TORCH_FREE = "onnx"


@dataclass(frozen=True, slots=True)
class Trial:
    """One engine at one point: its latency for one sample, or why it is out."""

    engine: str
    point: str
    latency_ms: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine of every point that some engine can run, and a line of explanation per point."""

    engines: Mapping[str, str]
    reasons: Sequence[str]


def choose(points: Sequence[str], trials: Sequence[Trial]) -> Choice:
    """The fastest engine per point; the torch-free one for all of them when it is near the fastest everywhere.

    A process that needs no torch holds about 150 MiB less, which no single point's 5 % is worth.
    """
    by_point = {point: [trial for trial in trials if trial.point == point] for point in points}
    times = {
        point: {trial.engine: trial.latency_ms for trial in tried if trial.latency_ms is not None}
        for point, tried in by_point.items()
    }
    runnable = {point: measured for point, measured in times.items() if measured}
    engines = {point: min(measured, key=measured.__getitem__) for point, measured in runnable.items()}
    torch_free = bool(runnable) and all(
        measured.get(TORCH_FREE, float("inf")) <= NEAR * min(measured.values()) for measured in runnable.values()
    )
    if torch_free:
        engines = dict.fromkeys(runnable, TORCH_FREE)
    return Choice(engines, [_reason(point, engines.get(point), by_point[point], torch_free) for point in points])


def _reason(point: str, engine: str | None, tried: Sequence[Trial], torch_free: bool) -> str:
    parts = [
        f"{trial.engine} {trial.latency_ms:.2f} ms"
        if trial.latency_ms is not None
        else f"{trial.engine} {trial.reason}"
        for trial in sorted(tried, key=lambda trial: (trial.latency_ms is None, trial.latency_ms))
    ]
    told = f"{point}: {engine or 'no engine runs it'} ({'; '.join(parts)})"
    return f"{told}, so that no torch is loaded" if torch_free and engine else told
