"""What shadow runs have shown since a policy came into force, and when that is worth a report. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.messages import ShadowCount

GROWTH = 0.25
"""Told again once grown by this share: a report more for each quarter, so a few dozen in a device's whole life."""


@dataclass(frozen=True, slots=True)
class Compared:
    """By point, how many answers were compared and how many disagreed, under the policy of this version."""

    policy: int
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def with_count(self, count: ShadowCount) -> "Compared":
        """After so many more."""
        seen, disagreed = self.counts.get(count.point, (0, 0))
        more = {count.point: (seen + count.seen, disagreed + count.disagreed)}
        return Compared(self.policy, {**self.counts, **more})

    def without(self, point: str | None) -> "Compared":
        """With nothing of a point, or of any."""
        kept = {name: counts for name, counts in self.counts.items() if point not in (None, name)}
        return Compared(self.policy, kept)

    def is_news(self, told: "Compared") -> bool:
        """Whether `told` says too little of it by now."""
        for point, counts in self.counts.items():
            before = told.counts.get(point, (0, 0))
            if any(new > old * (1.0 + GROWTH) for new, old in zip(counts, before, strict=True)):
                return True
        return False
