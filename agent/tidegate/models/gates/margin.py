"""The margin gate: a sample leaves with its answer once the two best answers lie far enough apart.

CALM (arXiv:2207.07061, section 3.3) calls the measure "softmax response". The head is the network's own where
the shapes allow it, else one fitted in closed form.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from tidegate.models.gates.gate import GateDecision, GateInput, GatePosition
from tidegate.models.knobs import Knobs


@dataclass(frozen=True, slots=True)
class MarginGate:
    """Open where the head's margin is at most `threshold`; the others leave with the head's answer."""

    threshold: float
    head: Callable[[Tensor], Tensor]
    flops: int
    looks_back: bool = False

    def decide(self, given: GateInput) -> GateDecision:
        """Runs the head on every sample."""
        answers = self.head(given.x)
        return GateDecision(margin(answers) <= self.threshold, answers)


def margin(logits: Tensor) -> Tensor:
    """Best minus second-best softmax probability, (samples, classes) to (samples,), 0..1."""
    best, second = logits.softmax(1).topk(2, dim=1).values.unbind(1)
    return best - second


def gate_for(knobs: Knobs, position: GatePosition) -> MarginGate | None:
    """For a block with an exit before it. Raises ValueError where the network has no head for that."""
    threshold = knobs.exits.get(position.block.name)
    if threshold is None:
        return None
    if position.head is None:
        raise ValueError(f"{position.block.name}: the network has no exit before this block")
    return MarginGate(threshold, position.head, position.head_flops)
