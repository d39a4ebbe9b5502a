"""What is fixed before a calibration looks at any data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.calibration.certify.risk import NEWLY_WRONG, RiskMeasure
from tidegate.calibration.search.goal import DEFAULT_KNOBS, FAST, OPERATIONS_SHARE, Goal, Knob, Target
from tidegate.calibration.search.greedy_search import COMPANION_WEIGHT, Aim
from tidegate.engines.engine import REFERENCE

ALPHAS = (0.01, 0.015, 0.03, 0.05)
"""Fixed before the ladders now made, and not to be changed after one was seen (docs/decisions/0002). 0.5 % is left
out: at a quarter of delta 5 % it needs 875 inputs to certify. Beyond 5 % nobody would want it."""

DELTA = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """The search's aim, the losses to certify, the chance of any certificate being wrong, and the engines.

    `goal` is what the aim was made for, `knobs` what may be turned, and `target` how far it should come down.
    """

    aim: Aim = field(default_factory=Aim)
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
    ) -> "Plan":
        """The plan for a goal; None: the goal's own knobs."""
        turned = DEFAULT_KNOBS[goal] if knobs is None else knobs
        aim = Aim(risk, OPERATIONS_SHARE[goal], count_activations=Knob.ACTIVATIONS in turned)
        return cls(aim, delta=delta, goal=goal, knobs=turned, target=target, engines=engines)

    @property
    def search(self) -> Mapping[str, float | str]:
        """How the chain is sought, for the ladder file."""
        aim = self.aim
        return {
            "flops_share": aim.flops_share,
            "companion_weight": COMPANION_WEIGHT,
            "lookahead": aim.lookahead,
            "activity": str(aim.activity),
            "max_disagreement": aim.max_disagreement,
            "count_decisions": float(aim.count_decisions),
            "decision_flops": float(aim.decision_flops),
            "count_activations": float(aim.count_activations),
            "goal": str(self.goal),
            "knobs": ", ".join(sorted(self.knobs)),
            "target": "none" if self.target is None else str(self.target),
        }
