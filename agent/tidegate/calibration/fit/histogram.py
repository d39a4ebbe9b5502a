"""How often values occur, in bins of one width: what the ranges of 8-bit values are chosen by."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_BINS = 4096
"""Between 0 and the value farthest from it: sixteen to a step of 8 bits, or eight."""

_LEAST_EXPONENT = -120
"""Of the bins' width, which float32 still holds; what is smaller lies in one bin."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of values, of which `low` is the least and `high` the largest.

    Bins are 2^`exponent` wide and one of them begins at 0, so that those of any two histograms fit together.
    `counts` begins with the `first` bin, as counted from 0.
    """

    low: float
    high: float
    exponent: int
    first: int
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, values: npt.NDArray[np.float32], low: float | None = None, high: float | None = None
    ) -> "Histogram":
        """Of one value at least; `low` and `high` are for values that are a sample of others.

        Raises ValueError for values that are not finite.
        """
        low = float(values.min()) if low is None else low
        high = float(values.max()) if high is None else high
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"values from {low} to {high} have no histogram: all must be finite")
        exponent = _exponent(low, high)
        places = np.floor(values.ravel().astype(np.float64) * 2.0**-exponent).astype(np.int64)
        first = int(places.min())
        return cls(low, high, exponent, first, np.bincount(places - first))

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """The middle of every bin."""
        places = np.arange(self.first, self.first + len(self.counts))
        return np.asarray((places + 0.5) * 2.0**self.exponent, np.float64)

    def merged(self, other: "Histogram") -> "Histogram":
        """That of the values of both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        exponent = max(self.exponent, other.exponent)
        parts = [each.places_at(exponent) for each in (self, other)]
        first = min(int(places[0]) for places in parts)
        size = max(int(places[-1]) for places in parts) - first + 1
        counts = np.zeros(size, np.int64)
        for places, each in zip(parts, (self, other), strict=True):
            np.add.at(counts, places - first, each.counts)
        return Histogram(low, high, exponent, first, counts)

    def places_at(self, exponent: int) -> npt.NDArray[np.int64]:
        """Which of bins at least as wide as its own each of its own lies in."""
        return (self.first + np.arange(len(self.counts))) >> (exponent - self.exponent)


def _exponent(low: float, high: float) -> int:
    farthest = max(abs(low), abs(high))
    if farthest == 0:
        return _LEAST_EXPONENT
    return max(_LEAST_EXPONENT, math.ceil(math.log2(farthest / MOST_BINS)))
