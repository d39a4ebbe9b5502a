"""The device's parameters out of a recorded day: what it draws idle, how it warms up, what its battery holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.simulation.scenario import LONGEST_S
from tidegate_drivers.reading import BATTERY, POWER, POWER_SOURCE, TEMPERATURE
from tidegate_drivers.trace import ReplayTrace, Track

Values = npt.NDArray[np.float64]

_STEP_S = 10.0
_LEAST_FALL_PERCENT = 5.0
_LEAST_STEPS = 10
_LEAST_CHANGE_W = 0.1


class FitError(TidegateError, ValueError):
    """A trace from which nothing can be fitted; the message says what it lacks."""

    exit_code = EX_DATAERR


class _UnknownError(Exception):
    """The day does not show a parameter; the message says why."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Fitted parameters; None where the day does not show them, and `unknown` says why, by the profile's key.

    `error_c` is the root mean square of what the fit of the temperature leaves.
    """

    idle_w: float
    heat_k_per_w: float | None
    heat_span_s: float | None
    ambient_c: float | None
    error_c: float | None
    battery_wh: float | None
    unknown: Mapping[str, str] = field(default_factory=dict)


def fit(trace: ReplayTrace) -> Fit:
    """Fit one thermal resistance and time constant by least squares on temperature steps. Raises FitError."""
    if POWER not in trace.tracks:
        raise FitError(f"{trace.name}: without the column power_w there is nothing to fit to")
    if trace.duration_s > LONGEST_S:
        raise FitError(f"{trace.name}: lasts {trace.duration_s / 86_400:.4g} days; at most a year can be fitted")
    times = np.arange(0.0, trace.duration_s, _STEP_S) + trace.starts_s
    draws = _values(trace.tracks[POWER], times)
    known = draws[np.isfinite(draws)]
    if not known.size or not known.any():
        what = "is 0 throughout" if known.size else "has no value"
        kept = "nothing can be fitted, and the figures in the board's profile stay as they are"
        raise FitError(f"{trace.name}: the column power_w {what}; without what the device draws {kept}")
    unknown: dict[str, str] = {}
    heat = battery_wh = None
    try:
        heat = _heat(trace, times, draws)
    except _UnknownError as error:
        unknown |= dict.fromkeys(("heat_k_per_w", "heat_span", "ambient"), str(error))
    try:
        battery_wh = _battery_wh(trace, times, draws)
    except _UnknownError as error:
        unknown["battery"] = str(error)
    per_w, span_s, ambient_c, error_c = heat or (None, None, None, None)
    return Fit(float(np.percentile(known, 5)), per_w, span_s, ambient_c, error_c, battery_wh, unknown)


def _heat(trace: ReplayTrace, times: Values, draws: Values) -> tuple[float, float, float, float]:
    degrees = _column(trace, TEMPERATURE, "temperature_c", times)
    rises = np.diff(degrees)
    inputs = np.stack([np.ones(rises.size), draws[:-1], degrees[:-1]], axis=1)
    known = np.isfinite(rises) & np.isfinite(inputs).all(axis=1)
    if known.sum() < _LEAST_STEPS:
        raise _UnknownError(
            f"temperature and draw are known together for {known.sum() * _STEP_S:.0f} s only, "
            f"{_LEAST_STEPS * _STEP_S:.0f} s are needed"
        )
    if np.ptp(draws[:-1][known]) < _LEAST_CHANGE_W:
        raise _UnknownError(f"the draw changes by less than {_LEAST_CHANGE_W:g} W")
    (constant, per_w, per_c), *_ = np.linalg.lstsq(inputs[known], rises[known], rcond=None)
    # A step of the discrete model keeps 1 + per_c of the distance to the equilibrium; rounding is no heat.
    kept = np.log1p(per_c) if -1.0 < per_c < -1e-9 else 0.0
    if not kept or per_w <= 0.0:
        raise _UnknownError("the temperature does not follow the draw")
    left = rises[known] - inputs[known] @ np.array([constant, per_w, per_c])
    fitted = (-per_w / per_c, -_STEP_S / kept, -constant / per_c, np.sqrt(np.mean(left**2)))
    if not np.isfinite(fitted).all():
        raise _UnknownError("the temperature does not follow the draw")
    return float(fitted[0]), float(fitted[1]), float(fitted[2]), float(fitted[3])


def _battery_wh(trace: ReplayTrace, times: Values, draws: Values) -> float:
    """Energy drawn over charge lost, over the whole time on battery."""
    percents = _column(trace, BATTERY, "battery_percent", times)
    if POWER_SOURCE not in trace.tracks:
        raise _UnknownError("the trace has no column power_source")
    unplugged = np.array([trace.tracks[POWER_SOURCE].at(float(at)) == "battery" for at in times])
    falls = -np.diff(percents)
    counted = unplugged[:-1] & unplugged[1:] & np.isfinite(falls) & np.isfinite(draws[:-1])
    fallen = float(falls[counted].sum())
    if fallen < _LEAST_FALL_PERCENT:
        fell = f"falls by {fallen:.3g} % on battery" if counted.any() else "is never seen on battery"
        raise _UnknownError(f"the charge {fell}, at least {_LEAST_FALL_PERCENT:g} % are needed")
    drawn_wh = float(draws[:-1][counted].sum()) * _STEP_S / 3600.0
    if drawn_wh <= 0.0:
        raise _UnknownError("the draw on battery is 0")
    return drawn_wh / fallen * 100.0


def _column(trace: ReplayTrace, reading: str, column: str, times: Values) -> Values:
    if reading not in trace.tracks:
        raise _UnknownError(f"the trace has no column {column}")
    values = _values(trace.tracks[reading], times)
    if not np.isfinite(values).any():
        raise _UnknownError(f"the column {column} has no value")
    return values


def _values(track: Track, times: Values) -> Values:
    values = (track.at(float(at)) for at in times)
    return np.array([value if isinstance(value, float) else np.nan for value in values])
