"""Whether points keep to their certificates under what is rolled out, by the answers of all devices together.

Wald's sequential test, pooled: what is played against is the certificate of each point that runs, and wealths are
multiplied over points and devices, so that how many answers come from where plays no part (Ville's inequality;
Waudby-Smith and Ramdas, arXiv:2010.09686). It may be looked at whenever one likes. Pure.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from tidegate.models.bet import START, after, refuted
from tidegate.telemetry.payloads.reported import ComparedPoint

ALPHA = 0.01
"""The chance at the most that a rollout whose points keep to their certificates is ever called worse."""
BETA = 0.01
"""The chance at the most that one whose points each exceed theirs by the margin is ever called kept."""

_NO_SHARE = 0.999

Outcome = Literal["undecided", "kept", "worse"]


@dataclass(frozen=True, slots=True)
class Pooled:
    """On `disagreed` of `seen` answers the full model said otherwise; certificates allow `allowed` of them."""

    seen: int
    disagreed: int
    allowed: float
    outcome: Outcome

    @property
    def in_words(self) -> str:
        """`31 of 2104 compared answers disagreed with the full model, certificates allow 21.0`."""
        said = f"{self.disagreed} of {self.seen} compared answers disagreed with the full model"
        return f"{said}, certificates allow {self.allowed:.1f}"


def pooled(compared: Iterable[ComparedPoint], margin: float) -> Pooled:
    """What has been compared so far, on all devices together.

    `margin` is the share of answers by which a point may exceed its certificate unnoticed with chance BETA.
    """
    stakes = (margin, 3 * margin, 10 * margin)
    wealths = [0.0] * len(stakes)
    seen, disagreed, allowed = 0, 0, 0.0
    for each in compared:
        seen, disagreed, allowed = seen + each.seen, disagreed + each.disagreed, allowed + each.allowed * each.seen
        for index, stake in enumerate(stakes):
            wealths[index] += _gain(each, min(_NO_SHARE, each.allowed + stake))
    if refuted(tuple(wealths), ALPHA):
        outcome: Outcome = "worse"
    else:
        outcome = "kept" if -wealths[0] >= -math.log(BETA) else "undecided"
    return Pooled(seen, disagreed, allowed, outcome)


def _gain(each: ComparedPoint, share: float) -> float:
    """The logarithm of the likelihood ratio of `share` against what the certificate allows."""
    if share <= each.allowed:
        return 0.0
    agreed = each.seen - each.disagreed
    return each.disagreed * math.log(share / each.allowed) + agreed * math.log((1 - share) / (1 - each.allowed))


def broke_alone(compared: ComparedPoint) -> bool:
    """Whether one device's answers under what is rolled out refute a certificate, by the drift guard's test."""
    wealths = after(START, compared.allowed, compared.seen, compared.disagreed)
    return refuted(wealths, ALPHA)


def answers_needed(allowed: float, margin: float) -> int:
    """How many compared answers it takes on average, where a point just keeps to its certificate."""
    share = min(_NO_SHARE, allowed + margin)
    drift = allowed * math.log(allowed / share) + (1 - allowed) * math.log((1 - allowed) / (1 - share))
    return math.ceil(-math.log(BETA) / drift)


@dataclass(slots=True)
class Evidence:
    """The most that a device has reported of each point, whatever the order in which reports come."""

    _points: dict[str, ComparedPoint] = field(default_factory=dict)

    def note(self, compared: Iterable[ComparedPoint]) -> None:
        """A report under what is rolled out. Counts that went back, as after a kill, wait until they are above."""
        for each in compared:
            before = self._points.get(each.point)
            if before is None or each.seen > before.seen:
                self._points[each.point] = each

    @property
    def all(self) -> tuple[ComparedPoint, ...]:
        """Of all points."""
        return tuple(self._points.values())
