"""When devices that have not answered a push are looked up again: a broker may lose answers. Pure."""

from dataclasses import dataclass

_MOST_S = 60.0


@dataclass(slots=True)
class AskingAgain:
    """Due once no answer has come for `wait_s`, and ever more seldom after that."""

    wait_s: float = 3.0
    _answers: int = -1
    _since_s: float = 0.0

    def due(self, answers: int, now_s: float) -> bool:
        """Whether to ask at `now_s` (monotonic), with so many answers here."""
        if answers != self._answers:
            self._answers, self._since_s = answers, now_s
            return False
        if now_s - self._since_s < self.wait_s:
            return False
        self._since_s, self.wait_s = now_s, min(2 * self.wait_s, _MOST_S)
        return True
