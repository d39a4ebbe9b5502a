"""Gates: the rules that decide, per sample, whether a block runs. One file per gate; `gate_of` picks."""

from agent.models.gates.activity import ActivityGate
from agent.models.gates.gate import Gate
from agent.models.gates.static import AlwaysOpen, AlwaysShut
from agent.models.knobs import Knobs

__all__ = ["ActivityGate", "AlwaysOpen", "AlwaysShut", "Gate", "gate_of"]


def gate_of(knobs: Knobs, block: str) -> Gate:
    """The gate that a setting of the knobs puts before a block."""
    if block in knobs.skip:
        return AlwaysShut()
    if block in knobs.thresholds:
        return ActivityGate(knobs.thresholds[block])
    return AlwaysOpen()
