"""From values to places in a picture, and which of them are named at its edge. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` at `begins` to `ends`, in pixels; evenly, or by their logarithm."""

    low: float
    high: float
    begins: float
    ends: float
    logarithmic: bool = False

    @classmethod
    def around(
        cls, values: Iterable[float], begins: float, ends: float, *, zero: bool = False, logarithmic: bool = False
    ) -> Self:
        """With a little room around the values; `zero` is in it too. Logarithmic only where all are above 0."""
        found = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(found), max(found)
        if logarithmic and low > 0:
            return cls(low / 1.15, high * 1.15, begins, ends, logarithmic=True)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        room = (high - low) * 0.06 or abs(high) * 0.06 or 1.0
        return cls(low if zero and low == 0 else low - room, high + room, begins, ends)

    def at(self, value: float) -> float:
        """The place of a value."""
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.begins + share * (self.ends - self.begins)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values within, about so many."""
        if self.logarithmic:
            steps = [factor * 10.0**power for power in range(-12, 13) for factor in (1, 2, 5)]
            within = [step for step in steps if self.low <= step <= self.high]
            if len(within) >= 2:
                return within[:: math.ceil(len(within) / (2 * about))]
        step = nice_step(self.high - self.low, about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def nice_step(span: float, about: int) -> float:
    """1, 2 or 5 times a power of ten, about so many times in the span."""
    rough = span / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if rough <= factor * power * (1 + 1e-9))


def short(value: float) -> str:
    """A tick's text."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
