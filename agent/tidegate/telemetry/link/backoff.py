"""How long to wait before the next attempt: exponential with full jitter."""

from dataclasses import dataclass, field
from random import Random


@dataclass(slots=True)
class Backoff:
    """Delays drawn evenly from 0 to a ceiling that doubles with every failure up to `cap_s`.

    Full jitter spreads a fleet whose broker restarted over the whole interval. Success alone resets nothing:
    a broker that accepts and drops at once would be hammered, so only a period of `stable_s` does.
    """

    base_s: float = 1.0
    cap_s: float = 60.0
    stable_s: float = 30.0
    random: Random = field(default_factory=Random)
    _failures: int = 0

    def failed(self, lasted_s: float = 0.0) -> float:
        """Seconds to wait after an attempt that held for `lasted_s`."""
        if lasted_s >= self.stable_s:
            self._failures = 0
        # 2 ** 32 seconds is past any cap; an unbounded exponent would overflow a float after a month offline.
        ceiling_s = min(self.cap_s, self.base_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return self.random.uniform(0.0, ceiling_s)
