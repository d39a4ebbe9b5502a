"""The gate of blocks that never run: it doesn't look at the input, and their weights need not be in memory."""

from dataclasses import dataclass

from tidegate.models.gates.gate import GateDecision, GateInput, GatePosition
from tidegate.models.knobs import Knobs


@dataclass(frozen=True, slots=True)
class StaticGate:
    """Shut for every sample, at no cost."""

    flops: int = 0
    looks_back: bool = False

    def decide(self, given: GateInput) -> GateDecision:  # noqa: ARG002 - the interface's argument
        """Shut for the whole batch; the input is not read."""
        return GateDecision(open=False)


def gate_for(knobs: Knobs, position: GatePosition) -> StaticGate | None:
    """For a block in the skip set."""
    return StaticGate() if position.block.name in knobs.skip else None
