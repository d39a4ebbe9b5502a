"""Energy from counters that wrap, or from power over time; pure arithmetic.

What can't be known is not booked: a gap, a suspend, a counter that stepped back without a known range. Missing
energy is said (`gaps`), never guessed.
"""

from tidegate_drivers.clocks import Clocks

LONGEST_GAP_S = 30.0
"""Power is taken to run straight between two samples that are at most this far apart."""

# More than any machine that tidegate runs on: a larger step is a counter that was reset, not one that wrapped.
_MOST_W = 10_000.0


def step_j(before_j: float, now_j: float, range_j: float | None, elapsed_s: float) -> float | None:
    """What a cumulative counter rose by, over at most one wrap; None when that can't be known.

    `range_j` is where the counter starts from 0 again, None when unknown.
    """
    risen = now_j - before_j
    if risen < 0:
        if range_j is None:
            return None
        risen += range_j
    if elapsed_s <= 0 or not 0 <= risen <= _MOST_W * elapsed_s:
        return None
    return risen


class CounterMeter:
    """Energy since the first sample, and the power between the last two, from a cumulative counter in joules."""

    def __init__(self, range_j: float | None) -> None:
        self.energy_j = 0.0
        self.gaps = 0
        self._range_j = range_j
        self._last: tuple[float, Clocks] | None = None

    def add(self, counted_j: float, at: Clocks) -> float | None:
        """Book a sample; the mean power since the one before in W, None when that can't be known."""
        last, self._last = self._last, (counted_j, at)
        if last is None:
            return None
        before_j, before = last
        elapsed_s = at.awake_s - before.awake_s
        risen = None if at.slept_since(before) else step_j(before_j, counted_j, self._range_j, elapsed_s)
        if risen is None:
            self.gaps += 1
            return None
        self.energy_j += risen
        return risen / elapsed_s


class PowerMeter:
    """Energy since the first sample, from samples of power, by trapezoids."""

    def __init__(self) -> None:
        self.energy_j = 0.0
        self.gaps = 0
        self._last: tuple[float, Clocks] | None = None

    def add(self, power_w: float, at: Clocks) -> None:
        """Book a sample; what lies between two that are too far apart is left out and counted as a gap."""
        last, self._last = self._last, (power_w, at)
        if last is None:
            return
        before_w, before = last
        elapsed_s = at.awake_s - before.awake_s
        if at.slept_since(before) or not 0 <= elapsed_s <= LONGEST_GAP_S:
            self.gaps += 1
            return
        self.energy_j += (before_w + power_w) / 2 * elapsed_s

    def lose(self) -> None:
        """The next sample stands alone: nothing is known of what was drawn since the last."""
        if self._last is not None:
            self.gaps += 1
        self._last = None
