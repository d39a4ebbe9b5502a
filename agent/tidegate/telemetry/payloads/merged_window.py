"""Several windows as one: counts and joules summed, readings averaged with their extremes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import fsum

from tidegate.telemetry.payloads.window import ModelWindow, Value, Window


def merged(windows: Sequence[Window]) -> Window:
    """One window for `windows`, in their order; of a merged one again the same, within rounding.

    What none of them knew stays unknown, what some knew is over those. Raises ValueError for none.
    """
    if not windows:
        raise ValueError("no window to merge")
    last = windows[-1]
    return Window(
        at=last.at,
        s=round(fsum(each.s for each in windows), 3),
        point=last.point,
        policy=last.policy,
        worker=last.worker,
        restarts=last.restarts,
        switches=last.switches,
        windows=sum(each.windows for each in windows),
        risk=last.risk,
        requests=_sum(each.requests for each in windows),
        failed=_sum(each.failed for each in windows),
        turned_away=_sum(each.turned_away for each in windows),
        samples=_sum(each.samples for each in windows),
        p50_ms=_mean((each.p50_ms, each.requests or 0) for each in windows),
        # The percentile of all of them can't be known from theirs; it is at most the largest.
        p95_ms=max((each.p95_ms for each in windows if each.p95_ms is not None), default=None),
        skip=_mean((each.skip, each.samples or 0) for each in windows),
        weights_bytes=last.weights_bytes,
        energy_j=_joules(each.energy_j for each in windows),
        total_j=next((each.total_j for each in reversed(windows) if each.total_j is not None), None),
        shadow=_shadow(windows),
        readings=_readings(windows),
        low=_extremes(windows, lowest=True),
        high=_extremes(windows, lowest=False),
        points=_points(windows),
        models=_models(windows),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _joules(found: Iterable[float | None]) -> float | None:
    known = [joules for joules in found if joules is not None]
    return round(fsum(known), 3) if known else None


def _mean(found: Iterable[tuple[float | None, float]]) -> float | None:
    known = [(value, weight) for value, weight in found if value is not None]
    if not known:
        return None
    total = fsum(weight for _, weight in known)
    if total <= 0:
        return _rounded(fsum(value for value, _ in known) / len(known))
    low, high = min(value for value, _ in known), max(value for value, _ in known)
    # Rounding must not lead outside of what was measured.
    return _rounded(min(high, max(low, fsum(value * weight for value, weight in known) / total)))


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def _shadow(windows: Sequence[Window]) -> Mapping[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for each in windows:
        for point, (seen, disagreed) in each.shadow.items():
            before = counts.get(point, (0, 0))
            counts[point] = (before[0] + seen, before[1] + disagreed)
    return counts


def _names(windows: Sequence[Window]) -> Iterable[str]:
    return dict.fromkeys(name for each in windows for name in each.readings)


def _readings(windows: Sequence[Window]) -> Mapping[str, Value]:
    """Means weighted by seconds; of words the last, as of a name that was a number and a word."""
    readings: dict[str, Value] = {}
    for name in _names(windows):
        found = [(each.readings[name], each.s) for each in windows if name in each.readings]
        numbers = [(value, s) for value, s in found if not isinstance(value, str)]
        mean = _mean(numbers) if len(numbers) == len(found) else None
        readings[name] = found[-1][0] if mean is None else mean
    return readings


def _extremes(windows: Sequence[Window], *, lowest: bool) -> Mapping[str, float]:
    extremes: dict[str, float] = {}
    for name in _names(windows):
        found = [
            (each.low if lowest else each.high).get(name, each.readings[name])
            for each in windows
            if name in each.readings
        ]
        numbers = [value for value in found if not isinstance(value, str)]
        if len(numbers) == len(found):
            extremes[name] = min(numbers) if lowest else max(numbers)
    return extremes


def _points(windows: Sequence[Window]) -> Mapping[str, float]:
    """Seconds at each point; empty where there was one alone."""
    seconds: dict[str, float] = {}
    for each in windows:
        for point, s in (each.points or {each.point: each.s}).items():
            seconds[point] = round(seconds.get(point, 0.0) + s, 3)
    return seconds if len(seconds) > 1 else {}


def _models(windows: Sequence[Window]) -> Mapping[str, ModelWindow]:
    """As they were seen last, with the requests of all windows."""
    found: dict[str, ModelWindow] = {}
    for name in dict.fromkeys(name for window in windows for name in window.models):
        each = [window.models[name] for window in windows if name in window.models]
        late = [model.p95_ms for model in each if model.p95_ms is not None]
        requests = _sum(model.requests for model in each)
        found[name] = replace(each[-1], requests=requests, p95_ms=max(late, default=None))
    return found
