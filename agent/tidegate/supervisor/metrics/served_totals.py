"""What was served since the agent's start: the sums of all windows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.messages import Served


@dataclass(frozen=True, slots=True)
class ServedTotals:
    """Counts since the start; `shadow` has by point how many samples were compared, and how many disagreed."""

    requests: int = 0
    failed: int = 0
    turned_away: int = 0
    samples: int = 0
    shadow: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def plus(self, served: Served) -> "ServedTotals":
        """With another window."""
        shadow = dict(self.shadow)
        for count in served.shadow:
            seen, disagreed = shadow.get(count.point, (0, 0))
            shadow[count.point] = (seen + count.seen, disagreed + count.disagreed)
        return ServedTotals(
            self.requests + served.requests,
            self.failed + served.failed,
            self.turned_away + served.turned_away,
            self.samples + served.samples,
            shadow,
        )
