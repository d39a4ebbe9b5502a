"""Whether memory grows: a line through samples, and how sure it is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean


@dataclass(frozen=True, slots=True)
class Slope:
    """By least squares, per hour, with its standard error; both in the unit of what was sampled."""

    per_hour: float
    error_per_hour: float

    @property
    def beyond_noise(self) -> float:
        """What of a rise two standard errors don't explain, per hour; 0 for none."""
        return max(0.0, self.per_hour - 2.0 * self.error_per_hour)


def slope(samples: Sequence[tuple[float, float]]) -> Slope | None:
    """Of (seconds, value); None for fewer than three moments, which say nothing of noise."""
    if len({at for at, _ in samples}) < 3:
        return None
    mean_at, mean_value = fmean(at for at, _ in samples), fmean(value for _, value in samples)
    spread = sum((at - mean_at) ** 2 for at, _ in samples)
    per_s = sum((at - mean_at) * (value - mean_value) for at, value in samples) / spread
    left = sum((value - mean_value - per_s * (at - mean_at)) ** 2 for at, value in samples)
    error = sqrt(left / (len(samples) - 2) / spread)
    return Slope(per_s * 3600.0, error * 3600.0)
