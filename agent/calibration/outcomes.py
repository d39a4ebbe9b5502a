"""Which held-out inputs fail at which points of a chain: all that certification needs to know of a network."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.calibration.batches import answer_all
from agent.calibration.risk import RiskMeasure
from agent.calibration.split import Part
from agent.engines.engine import Engine
from agent.models.evidence import scaled
from agent.models.ladder import OperatingPoint


def failure_masks(
    engine: Engine, points: Sequence[OperatingPoint], part: Part, scale: float, risk: RiskMeasure
) -> npt.NDArray[np.bool_]:
    """Failures of each point against the first, which is the full model: bool (points, samples)."""
    inputs = scaled(part.inputs, scale)
    outputs = (answer_all(engine.prepare(point), inputs).outputs for point in points)
    full = next(outputs)
    return np.stack(
        [np.zeros(len(part), np.bool_), *(risk.failures(full, others, part.labels) for others in outputs)]
    )
