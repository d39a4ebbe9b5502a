"""Which held-out inputs fail at which points of a chain: all that certification needs to know of a network."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.calibration.batches import answer_all
from agent.calibration.checkpoint import KeptFailures
from agent.calibration.risk import RiskMeasure
from agent.calibration.split import Part
from agent.engines.engine import Engine
from agent.models.evidence import scaled
from agent.models.ladder import OperatingPoint


def failure_masks(
    engine: Engine,
    points: Sequence[OperatingPoint],
    part: Part,
    scale: float,
    risk: RiskMeasure,
    kept: KeptFailures | None = None,
) -> npt.NDArray[np.bool_]:
    """Failures of each point against the first, which is the full model: bool (points, samples).

    What an earlier, interrupted count has `kept` is taken from there.
    """
    inputs = scaled(part.inputs, scale)
    full = answer_all(engine.prepare(points[0]), inputs).outputs
    masks = [np.zeros(len(part), np.bool_)]
    for point in points[1:]:
        failed = None if kept is None else kept.of(point)
        if failed is None:
            failed = risk.failures(full, answer_all(engine.prepare(point), inputs).outputs, part.labels)
            if kept is not None:
                kept.add(point, failed)
        masks.append(failed)
    return np.stack(masks)
