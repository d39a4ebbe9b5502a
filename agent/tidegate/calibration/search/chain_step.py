"""One point of a chain, as a search found it."""

from dataclasses import dataclass

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.search.cost import Cost
from tidegate.calibration.search.moves import Move


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One point of the chain: the setting, the move that led to it, and how it does on S.

    `loss` is the share of answers that differ from the full model's, `disagreement`, and a little of the risk's
    smooth companion.
    """

    setting: KnobSettings
    move: Move | None
    loss: float
    disagreement: float
    cost: Cost
