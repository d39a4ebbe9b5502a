"""The device's parameters out of a recorded day: what it draws idle, how it warms up, what its battery holds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivers.reading import BATTERY, POWER, POWER_SOURCE, TEMPERATURE
from drivers.trace import ReplayTrace, Track

Values = npt.NDArray[np.float64]

_STEP_S = 10.0
_LEAST_FALL_PERCENT = 5.0


class FitError(ValueError):
    """A trace from which nothing can be fitted; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Fitted parameters; None where the day does not show them. `error_c` is the root mean square of the rest."""

    idle_w: float
    heat_k_per_w: float | None
    heat_span_s: float | None
    ambient_c: float | None
    error_c: float | None
    battery_wh: float | None


def fit(trace: ReplayTrace) -> Fit:
    """Fit one thermal resistance and time constant by least squares on temperature steps. Raises FitError."""
    if POWER not in trace.tracks:
        raise FitError(f"{trace.name}: without the column power_w there is nothing to fit to")
    times = np.arange(0.0, trace.duration_s, _STEP_S) + trace.starts_s
    draws = _values(trace.tracks[POWER], times)
    idle_w = float(np.nanpercentile(draws, 5))
    battery_wh = _battery_wh(trace, times, draws)
    if TEMPERATURE not in trace.tracks:
        return Fit(idle_w, None, None, None, None, battery_wh)
    return Fit(idle_w, *_heat(_values(trace.tracks[TEMPERATURE], times), draws), battery_wh)


def _heat(degrees: Values, draws: Values) -> tuple[float | None, float | None, float | None, float | None]:
    rises = np.diff(degrees)
    inputs = np.stack([np.ones(rises.size), draws[:-1], degrees[:-1]], axis=1)
    known = np.isfinite(rises) & np.isfinite(inputs).all(axis=1)
    if known.sum() < 10 or np.ptp(draws[:-1][known]) < 0.1:
        return None, None, None, None
    (constant, per_w, per_c), *_ = np.linalg.lstsq(inputs[known], rises[known], rcond=None)
    if not -1.0 < per_c < 0.0 or per_w <= 0.0:
        return None, None, None, None
    left = rises[known] - inputs[known] @ np.array([constant, per_w, per_c])
    # A step of the discrete model keeps 1 + per_c of the distance to the equilibrium.
    span_s = -_STEP_S / float(np.log1p(per_c))
    return float(-per_w / per_c), span_s, float(-constant / per_c), float(np.sqrt(np.mean(left**2)))


def _battery_wh(
    trace: ReplayTrace,
    times: Values,
    draws: Values,
) -> float | None:
    """Energy drawn over charge lost, over the whole time on battery."""
    if BATTERY not in trace.tracks or POWER_SOURCE not in trace.tracks:
        return None
    percents = _values(trace.tracks[BATTERY], times)
    unplugged = np.array([trace.tracks[POWER_SOURCE].at(float(at)) == "battery" for at in times])
    falls = -np.diff(percents)
    counted = unplugged[:-1] & unplugged[1:] & np.isfinite(falls) & np.isfinite(draws[:-1])
    fallen = float(falls[counted].sum())
    if fallen < _LEAST_FALL_PERCENT:
        return None
    return float(draws[:-1][counted].sum()) * _STEP_S / 3600.0 / fallen * 100.0


def _values(track: Track, times: Values) -> Values:
    values = (track.at(float(at)) for at in times)
    return np.array([value if isinstance(value, float) else np.nan for value in values])
