"""Four ways through a network, as operating points. No torch here."""

from dataclasses import replace

from tidegate.engines.engine import REFERENCE
from tidegate.models.ladder import Figures, OperatingPoint
from tidegate.models.network import Network

SHORTER = (1, 2, 3)
"""How many skippable blocks, from the end, each further way leaves out."""

_FIGURES = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)


def ways(network: Network) -> list[OperatingPoint]:
    """The full network, and without its last one, two and three skippable blocks."""
    blocks = [segment.name for segment in network.segments if segment.skippable]
    full = OperatingPoint("full", REFERENCE, _FIGURES)
    return [full, *(replace(full, name=f"without_{n}", skip=frozenset(blocks[-n:])) for n in SHORTER)]
