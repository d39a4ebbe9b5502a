"""The range of a value in 8 bits: between a coarse grid that holds all and a fine one that cuts some off."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.calibration.fit.histogram import Histogram
from tidegate.engines.plan.quantization import LEVELS, QuantParams, Range

_SHARES = np.linspace(1.0, 0.1, 31)
"""Of the least and of the largest value: the ends that are tried."""

_WORTH_CUTTING = 0.6
"""Of the error of the whole range: a narrower one must have less. Rare large values matter more to what reads them
than their share of the error says: with 0.8 a transformer lost more than other networks gained."""

_ROUNDS = 2
"""Both ends are tried in turns, each with the other one as it is; more rounds move neither."""


NEAREST = 0.9
"""Of all values, whose distance from the middle counts: a channel of 32 that stands far out is not among them."""


@dataclass(frozen=True, slots=True)
class _Ends:
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


def least_error_range(histogram: Histogram) -> Range:
    """The range with the least mean squared error of rounding and cutting; the whole one where none is better.

    As OCTAV (arXiv:2206.06501) and torch.ao's HistogramObserver choose it, but by the error itself, counted.
    """
    whole = Range(histogram.low, histogram.high)
    chosen = whole
    for _ in range(_ROUNDS):
        before = chosen
        if histogram.high > 0:
            highs = _SHARES * histogram.high
            ends = _Ends(np.full_like(highs, min(chosen.low, 0.0)), highs)
            chosen = Range(chosen.low, float(highs[_errors(histogram, ends).argmin()]))
        if histogram.low < 0:
            lows = _SHARES * histogram.low
            ends = _Ends(lows, np.full_like(lows, max(chosen.high, 0.0)))
            chosen = Range(float(lows[_errors(histogram, ends).argmin()]), chosen.high)
        if chosen == before:
            break
    better = squared_error(histogram, chosen) < _WORTH_CUTTING * squared_error(histogram, whole)
    return chosen if better else whole


def squared_error(histogram: Histogram, span: Range) -> float:
    """Mean squared error of the values on the grid that a range gives."""
    params = QuantParams.over(span)
    centres, counts = _filled(histogram)
    codes = np.clip(np.rint(centres / params.scale) + params.zero_point, 0, LEVELS)
    errors = (codes - params.zero_point) * params.scale - centres
    return float(np.square(errors) @ counts) / int(counts.sum())


def rounding_error(histogram: Histogram, span: Range) -> float:
    """`Range.error` of a range: 0 for values that are all the same."""
    centres, counts = _filled(histogram)
    middle = centres[np.searchsorted(np.cumsum(counts), counts.sum() / 2)]
    distances = np.abs(centres - middle)
    nearest = np.argsort(distances, kind="stable")
    kept = nearest[: np.searchsorted(np.cumsum(counts[nearest]), NEAREST * counts.sum()) + 1]
    distance = float(distances[kept] @ counts[kept]) / int(counts[kept].sum())
    return math.sqrt(squared_error(histogram, span)) / distance if distance > 0 else 0.0


def _errors(histogram: Histogram, ends: _Ends) -> npt.NDArray[np.float64]:
    """Squared error by candidate, not yet on the grid's rounded scale."""
    scales = ((ends.high - ends.low) / LEVELS)[:, None]
    zeros = np.rint(-ends.low[:, None] / scales)
    centres, counts = _filled(histogram)
    codes = np.clip(np.rint(centres / scales), -zeros, LEVELS - zeros)
    errors: npt.NDArray[np.float64] = np.square(codes * scales - centres) @ counts
    return errors


def _filled(histogram: Histogram) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Middles and counts of the bins in which there is something: far out, most are empty."""
    filled = histogram.counts > 0
    return histogram.centres[filled], histogram.counts[filled]
