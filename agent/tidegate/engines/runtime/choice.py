"""Which engine runs which operating point, from what each engine was measured to do here. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NEAR = 1.05
"""An engine within 5 % of the fastest is as good as it: below that, timings don't repeat."""

TORCH_FREE = "onnx"


@dataclass(frozen=True, slots=True)
class Trial:
    """One engine at one point: its latency for one sample, or why it is out; `late` when its time was up."""

    engine: str
    point: str
    latency_ms: float | None
    reason: str = ""
    late: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine of every point that some engine can run, and a line of explanation per point."""

    engines: Mapping[str, str]
    reasons: Sequence[str]


def choose(losses: Mapping[str, float | None], trials: Sequence[Trial]) -> Choice:
    """The fastest engine per point; the torch-free one alone when it is near the fastest at every loss.

    `losses` are the points' certified ones by name, None for none. A process that needs no torch holds about
    150 MiB less, which no 5 % is worth. Points that other engines alone can run are then left out: at no more loss
    there is one as fast.
    """
    by_point = {point: [trial for trial in trials if trial.point == point] for point in losses}
    times = {
        point: {trial.engine: trial.latency_ms for trial in tried if trial.latency_ms is not None}
        for point, tried in by_point.items()
    }
    runnable = {point: measured for point, measured in times.items() if measured}
    torch_free = bool(runnable) and _suffices(TORCH_FREE, runnable, losses)
    if torch_free:
        engines = {point: TORCH_FREE for point, measured in runnable.items() if TORCH_FREE in measured}
    else:
        engines = {point: min(measured, key=measured.__getitem__) for point, measured in runnable.items()}
    return Choice(engines, [_reason(point, engines.get(point), by_point[point], torch_free) for point in losses])


def _suffices(engine: str, times: Mapping[str, Mapping[str, float]], losses: Mapping[str, float | None]) -> bool:
    """Whether at every certified loss the engine's fastest point is near the fastest of all."""
    allowed = {point: float("inf") if (loss := losses[point]) is None else loss for point in times}
    for ceiling in set(allowed.values()):
        within = [measured for point, measured in times.items() if allowed[point] <= ceiling]
        own = min((measured[engine] for measured in within if engine in measured), default=float("inf"))
        if own > NEAR * min(min(measured.values()) for measured in within):
            return False
    return True


def _reason(point: str, engine: str | None, tried: Sequence[Trial], torch_free: bool) -> str:
    parts = [
        f"{trial.engine} {trial.latency_ms:.2f} ms"
        if trial.latency_ms is not None
        else f"{trial.engine} {trial.reason}"
        for trial in sorted(tried, key=lambda trial: (trial.latency_ms is None, trial.latency_ms))
    ]
    left_out = torch_free and any(trial.latency_ms is not None for trial in tried)
    none = f"left out, as {TORCH_FREE} alone is as fast at no more loss" if left_out else "no engine runs it"
    told = f"{point}: {engine or none} ({'; '.join(parts)})"
    return f"{told}, so that no torch is loaded" if torch_free and engine else told
