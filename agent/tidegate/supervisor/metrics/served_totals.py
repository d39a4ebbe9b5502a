"""What was served since the agent's start: the sums of all windows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.messages import Served


@dataclass(frozen=True, slots=True)
class ModelTotals:
    """One model's counts since the start."""

    requests: int = 0
    failed: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class ServedTotals:
    """Counts since the start, of the main model; `models` has the further ones'.

    `shadow` has by point how many samples were compared, and how many disagreed.
    """

    requests: int = 0
    failed: int = 0
    turned_away: int = 0
    samples: int = 0
    shadow: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    models: Mapping[str, ModelTotals] = field(default_factory=dict)

    def plus(self, served: Served) -> "ServedTotals":
        """With another window."""
        shadow = dict(self.shadow)
        for count in served.shadow:
            seen, disagreed = shadow.get(count.point, (0, 0))
            shadow[count.point] = (seen + count.seen, disagreed + count.disagreed)
        models = dict(self.models)
        for each in served.models:
            before = models.get(each.name, ModelTotals())
            models[each.name] = ModelTotals(
                before.requests + each.requests, before.failed + each.failed, before.samples + each.samples
            )
        return ServedTotals(
            self.requests + served.requests,
            self.failed + served.failed,
            self.turned_away + served.turned_away,
            self.samples + served.samples,
            shadow,
            models,
        )
