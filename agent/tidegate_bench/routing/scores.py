"""What a gate would see before each block of an ungated network, and thresholds made of it."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tidegate.calibration.data.passes import forward_all
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates import GateInput
from tidegate.models.gates.activity import score_of
from tidegate.models.ladder import Activity

ACTIVITIES: tuple[Activity, ...] = tuple(
    activity for activity in Activity if activity is not Activity.FRAME_CHANGE
)
"""Single inputs are not frames of a film."""

Scores = npt.NDArray[np.float32]


def block_scores(engine: EagerEngine, inputs: Array, activity: Activity) -> dict[str, Scores]:
    """Scores (samples,) by block when every block runs."""
    network = engine.build(KnobSettings())
    scores: dict[str, list[Scores]] = {block: [] for block in network.blocks}
    score = score_of(activity)

    def watch(segment: str, seen: GateInput) -> None:
        if segment in scores:
            scores[segment].append(score(seen).numpy())

    forward_all(network, inputs, watch)
    return {block: np.concatenate(parts) for block, parts in scores.items()}


def quantile(scores: Iterable[Scores], rate: float) -> float | None:
    """The threshold below which that share of all the scores lies; None where none is a number.

    The change against the block before is infinite at the first block, which then always runs.
    """
    values = np.concatenate(list(scores))
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, rate)) if len(finite) else None
