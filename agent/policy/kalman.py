"""Two small Kalman filters: a factor that drifts, and a straight line whose ends drift."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Factor:
    """A slowly drifting number seen through noise, as ALERT's slowdown factor (arXiv:1911.00119, section 3.2)."""

    mean: float = 1.0
    variance: float = 0.1

    def observe(self, value: float, noise: float, drift: float) -> "Factor":
        """After one observation; `noise` and `drift` are variances, `drift` what was added since the last one."""
        predicted = self.variance + drift
        gain = predicted / (predicted + noise)
        return Factor(self.mean + gain * (value - self.mean), (1.0 - gain) * predicted)


@dataclass(frozen=True, slots=True)
class Line:
    """y = offset + slope * x, both drifting; the covariance of (offset, slope) is (oo, os, ss)."""

    offset: float
    slope: float
    oo: float
    os: float
    ss: float

    def at(self, x: float) -> float:
        """The line's y."""
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
