"""Gates: the rules that decide, per sample, whether a block runs.

One file per gate, each with a `gate_for` that returns its gate where a setting of the knobs asks for one. A new
gate is a new file and its place in the order below.
"""

from tidegate.models.gates import activity, margin, static
from tidegate.models.gates.activity import ActivityGate
from tidegate.models.gates.gate import Gate, GateDecision, GateInput, GatePosition
from tidegate.models.gates.margin import MarginGate
from tidegate.models.gates.static import StaticGate
from tidegate.models.knobs import Knobs

__all__ = [
    "ActivityGate",
    "Gate",
    "GateDecision",
    "GateInput",
    "GatePosition",
    "MarginGate",
    "StaticGate",
    "gates_for",
]

# Exits come first: a sample that leaves needs no block and no stand-in.
_KINDS = (margin.gate_for, static.gate_for, activity.gate_for)


def gates_for(knobs: Knobs, position: GatePosition) -> tuple[Gate, ...]:
    """The gates that a setting puts before a block, in the order in which they are asked; none: it always runs."""
    return tuple(gate for kind in _KINDS if (gate := kind(knobs, position)) is not None)
