"""How often: at most so many a second, evenly. Pure."""


class Pace:
    """Due every `interval_s`; who comes late is not owed what was missed."""

    def __init__(self, per_second: float) -> None:
        self._interval_s = 1.0 / per_second
        self._next_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """How long until the next is due; 0 when it is."""
        return max(0.0, self._next_s - now_s)

    def take(self, now_s: float) -> bool:
        """Whether one is due, which is taken then."""
        if now_s < self._next_s:
            return False
        # From when it was due: a camera's frames come a little late, and would be thinned to every other one.
        self._next_s = max(self._next_s + self._interval_s, now_s)
        return True
