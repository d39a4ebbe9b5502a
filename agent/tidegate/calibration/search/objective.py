"""What a search makes as small as it can, and how far it goes."""

from dataclasses import dataclass

from tidegate.calibration.certify.risk import NEWLY_WRONG, RiskMeasure
from tidegate.calibration.search.cost import DECISION_FLOPS, Cost
from tidegate.models.ladder import Activity

MAX_DISAGREEMENT = 0.1
"""Where the search ends: at twice the largest loss that is certified. What loses more on S won't pass on C."""

LOOKAHEAD = 12
"""Moves measured anew per step, the best by their last measurement first; the others can wait, because what a
move loses hardly ever falls while others are made (lazy greedy, Minoux 1978)."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What the search goes for; `flops_share` is how much operations count against weight bytes.

    By default both have equal say: the search has no device in view. With `count_decisions` a gate weighs what
    it takes in time, `decision_flops` besides its own operations; with `count_activations` bytes are those of the
    weights and of the encoded activations alive at once, and else of the weights alone.
    """

    risk: RiskMeasure = NEWLY_WRONG
    flops_share: float = 0.5
    lookahead: int = LOOKAHEAD
    activity: Activity = Activity.MEAN_ABS
    max_disagreement: float = MAX_DISAGREEMENT
    count_decisions: bool = True
    decision_flops: int = DECISION_FLOPS
    count_activations: bool = False

    def cost(self, cost: Cost) -> float:
        """What the search saves: 1 for the full model, with no gate asked."""
        counted = cost.flops_ratio + cost.decision_ratio * self.count_decisions
        work = counted if cost.time_ratio is None else cost.time_ratio
        return self.flops_share * work + (1 - self.flops_share) * cost.memory_ratio
