"""What is fixed before a calibration looks at any data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.calibration.search import Aim
from agent.engines.engine import REFERENCE

ALPHAS = (0.01, 0.015, 0.03, 0.05)
"""0.5 % is left out: at a quarter of delta 5 % it needs 875 inputs to certify. Beyond 5 % nobody would want it."""

DELTA = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """The search's aim, the losses to certify, the chance of any certificate being wrong, and the engines."""

    aim: Aim = field(default_factory=Aim)
    alphas: tuple[float, ...] = ALPHAS
    delta: float = DELTA
    engines: tuple[str, ...] = (REFERENCE,)

    @property
    def search(self) -> Mapping[str, float | str]:
        """How the chain is sought, for the ladder file."""
        aim = self.aim
        return {
            "flops_share": aim.flops_share,
            "lookahead": aim.lookahead,
            "activity": str(aim.activity),
            "max_disagreement": aim.max_disagreement,
            "count_decisions": float(aim.count_decisions),
        }
