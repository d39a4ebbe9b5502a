"""Two small Kalman filters: a factor that drifts, and a straight line whose ends drift."""

from dataclasses import dataclass

_MEMORY = 0.3
"""How much of the surprise of before is kept, as ALERT's forgetting factor."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A drifting number seen through noise, as ALERT's slowdown factor (arXiv:1911.00119, section 3.2).

    As there the drift adapts: `surprise` is the mean square of the latest corrections, and counts as drift where
    it is more. Another program starts from one moment to the next, and is believed at once.
    """

    mean: float = 1.0
    variance: float = 0.1
    surprise: float = 0.0

    def observe(self, value: float, noise: float, drift: float) -> "Factor":
        """After one observation; `noise` and `drift` are variances, `drift` what was added since the last one."""
        error, expected = value - self.mean, self.variance + drift
        correction = error * expected / (expected + noise)
        surprise = _MEMORY * self.surprise + (1.0 - _MEMORY) * correction**2
        predicted = self.variance + max(drift, surprise)
        gain = predicted / (predicted + noise)
        return Factor(self.mean + gain * error, (1.0 - gain) * predicted, surprise)


@dataclass(frozen=True, slots=True)
class Line:
    """y = offset + slope * x, both drifting; the covariance of (offset, slope) is (oo, os, ss)."""

    offset: float
    slope: float
    oo: float
    os: float
    ss: float

    def at(self, x: float) -> float:
        """The line's estimate of y at x."""
        return self.offset + self.slope * x

    def observe(self, x: float, y: float, noise: float, offset_drift: float, slope_drift: float) -> "Line":
        """After one observation; the last three are variances, the drifts what was added since the last one."""
        oo, os, ss = self.oo + offset_drift, self.os, self.ss + slope_drift
        to_offset, to_slope = oo + os * x, os + ss * x
        total = to_offset + to_slope * x + noise
        gain_offset, gain_slope = to_offset / total, to_slope / total
        error = y - self.at(x)
        return Line(
            self.offset + gain_offset * error,
            self.slope + gain_slope * error,
            oo - gain_offset * to_offset,
            os - gain_offset * to_slope,
            ss - gain_slope * to_slope,
        )
