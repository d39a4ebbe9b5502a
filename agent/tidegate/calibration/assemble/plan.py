"""What is fixed before a calibration looks at any data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.calibration.certify.risk import NEWLY_WRONG, RiskMeasure
from tidegate.calibration.search.goal import DEFAULT_KNOBS, FAST, OPERATIONS_SHARE, Goal, Knob, Target
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.trials import COMPANION_WEIGHT
from tidegate.engines.engine import REFERENCE

ALPHAS = (0.01, 0.015, 0.03, 0.05)
"""Fixed before the ladders now made, and not to be changed after one was seen (docs/decisions/0002). 0.5 % is left
out: at a quarter of delta 5 % it needs 875 inputs to certify. Beyond 5 % nobody would want it."""

DELTA = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """The search's objective, the losses to certify, the chance of any certificate being wrong, and the engines.

    `goal` is what the objective was made for, `knobs` what may be turned, and `target` how far it should come
    down.
    """

    objective: Objective = field(default_factory=Objective)
    alphas: tuple[float, ...] = ALPHAS
    delta: float = DELTA
    goal: Goal = Goal.BALANCED
    knobs: frozenset[Knob] = FAST
    target: Target | None = None
    engines: tuple[str, ...] = (REFERENCE,)

    @classmethod
    def towards(
        cls,
        goal: Goal,
        knobs: frozenset[Knob] | None = None,
        target: Target | None = None,
        risk: RiskMeasure = NEWLY_WRONG,
        delta: float = DELTA,
        engines: tuple[str, ...] = (REFERENCE,),
        alphas: tuple[float, ...] = ALPHAS,
    ) -> "Plan":
        """The plan for a goal; None: the goal's own knobs."""
        turned = DEFAULT_KNOBS[goal] if knobs is None else knobs
        objective = Objective(risk, OPERATIONS_SHARE[goal], count_activations=Knob.ACTIVATIONS in turned)
        return cls(objective, alphas, delta, goal=goal, knobs=turned, target=target, engines=engines)

    @property
    def search(self) -> Mapping[str, float | str]:
        """How the chain is sought, for the ladder file."""
        objective = self.objective
        return {
            "flops_share": objective.flops_share,
            "companion_weight": COMPANION_WEIGHT,
            "lookahead": objective.lookahead,
            "activity": str(objective.activity),
            "max_disagreement": objective.max_disagreement,
            "count_decisions": float(objective.count_decisions),
            "count_activations": float(objective.count_activations),
            "goal": str(self.goal),
            "knobs": ", ".join(sorted(self.knobs)),
            "target": "none" if self.target is None else str(self.target),
        }
