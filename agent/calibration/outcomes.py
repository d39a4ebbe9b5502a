"""Which held-out inputs fail at which points of a chain: all that certification needs to know of a network."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.calibration.batches import run
from agent.calibration.risk import RiskMeasure
from agent.calibration.split import Part
from agent.engines.eager import EagerEngine
from agent.models.evidence import scaled
from agent.models.knobs import Knobs


def failure_masks(
    engine: EagerEngine, settings: Sequence[Knobs], part: Part, scale: float, risk: RiskMeasure
) -> npt.NDArray[np.bool_]:
    """Failures of each setting against the first, which is the full model: bool (settings, samples)."""
    inputs = scaled(part.inputs, scale)
    full = run(engine.build(settings[0]), inputs).outputs
    rest = (run(engine.build(setting), inputs).outputs for setting in settings[1:])
    return np.stack(
        [np.zeros(len(part), np.bool_), *(risk.failures(full, outputs, part.labels) for outputs in rest)]
    )
