"""Which engine runs which operating point, from what each engine was measured to do here. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from tidegate.engines.engine import REFERENCE

NEAR = 1.05
"""An engine within 5 % of the fastest is as good as it: below that, timings don't repeat."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One engine at one point: its latency for one sample, or why it is out; `late` when its time was up.

    `first_ms` is what preparing the point and its first answer took.
    """

    engine: str
    point: str
    latency_ms: float | None
    reason: str = ""
    late: bool = False
    first_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine of every point that some engine can run, and a line of explanation per point.

    `able` are the engines that ran a point and are believed: those that may stand in for another one.
    """

    engines: Mapping[str, str]
    reasons: Sequence[str]
    able: Sequence[str] = ()


def choose(losses: Mapping[str, float | None], trials: Sequence[Trial]) -> Choice:
    """The fastest engine per point, among the fewest engines that are near the fastest at every loss.

    `losses` are the points' certified ones by name, None for none. A process that needs no torch holds about
    150 MiB less, and each runtime some 20 MiB, which no 5 % is worth. Points that other engines alone can run are
    then left out: at no more loss there is one as fast.
    """
    by_point = {point: [trial for trial in trials if trial.point == point] for point in losses}
    times = {
        point: {trial.engine: trial.latency_ms for trial in tried if trial.latency_ms is not None}
        for point, tried in by_point.items()
    }
    runnable = {point: measured for point, measured in times.items() if measured}
    names = tuple(dict.fromkeys(trial.engine for trial in trials))
    allowed = next((few for few in _fewest_first(names) if _suffice(few, runnable, losses)), names)
    engines = {}
    for point, measured in runnable.items():
        own = {engine: taken for engine, taken in measured.items() if engine in allowed}
        if own:
            engines[point] = min(own, key=own.__getitem__)
    without_torch = REFERENCE in names and REFERENCE not in allowed
    reasons = [_reason(point, engines.get(point), by_point[point], allowed, without_torch) for point in losses]
    return Choice(engines, reasons, [name for name in names if any(name in taken for taken in times.values())])


def _fewest_first(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every selection of engines: those without torch before those with it, small ones before large ones."""
    free = [name for name in names if name != REFERENCE]
    for others in ((), (REFERENCE,)) if REFERENCE in names else ((),):
        for count in range(len(free) + 1):
            for few in combinations(free, count):
                if few or others:
                    yield (*few, *others)


def _suffice(
    engines: Sequence[str], times: Mapping[str, Mapping[str, float]], losses: Mapping[str, float | None]
) -> bool:
    """Whether at every certified loss the engines' fastest point is near the fastest of all."""
    allowed = {point: float("inf") if (loss := losses[point]) is None else loss for point in times}
    for ceiling in set(allowed.values()):
        within = [measured for point, measured in times.items() if allowed[point] <= ceiling]
        own = [measured[engine] for measured in within for engine in engines if engine in measured]
        if min(own, default=float("inf")) > NEAR * min(min(measured.values()) for measured in within):
            return False
    return True


def _first(trial: Trial) -> str:
    return "" if trial.first_ms is None else f", the first after {trial.first_ms:.0f} ms"


def _reason(
    point: str, engine: str | None, tried: Sequence[Trial], allowed: Sequence[str], without_torch: bool
) -> str:
    parts = [
        f"{trial.engine} {trial.latency_ms:.2f} ms{_first(trial)}"
        if trial.latency_ms is not None
        else f"{trial.engine} {trial.reason}"
        for trial in sorted(tried, key=lambda trial: (trial.latency_ms is None, trial.latency_ms))
    ]
    left_out = any(trial.latency_ms is not None for trial in tried)
    alone = f"left out, as with {' and '.join(allowed)} alone it is as fast at no more loss"
    none = alone if left_out else "no engine runs it"
    told = f"{point}: {engine or none} ({'; '.join(parts)})"
    return f"{told}, so that no torch is loaded" if without_torch and engine else told
