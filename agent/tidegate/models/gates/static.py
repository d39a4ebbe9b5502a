"""The gate of blocks that never run: it doesn't look at the input, and their weights need not be in memory."""

from dataclasses import dataclass

from tidegate.models.gates.gate import Seen, Site, Verdict
from tidegate.models.knobs import Knobs


@dataclass(frozen=True, slots=True)
class StaticGate:
    """Shut for every sample."""

    flops: int = 0
    looks_back: bool = False

    def decide(self, seen: Seen) -> Verdict:  # noqa: ARG002 - the interface's argument
        """Shut."""
        return Verdict(open=False)


def gate_for(knobs: Knobs, site: Site) -> StaticGate | None:
    """For a block in the skip set."""
    return StaticGate() if site.block.name in knobs.skip else None
