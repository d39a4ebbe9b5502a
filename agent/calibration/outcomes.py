"""Which held-out inputs fail at which points of a chain: all that certification needs to know of a network."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.calibration.batches import run
from agent.calibration.checkpoint import Checkpoint, name_of
from agent.calibration.risk import RiskMeasure
from agent.calibration.split import Part
from agent.engines.eager import EagerEngine
from agent.models.evidence import scaled
from agent.models.knobs import Knobs


def failure_masks(
    engine: EagerEngine,
    settings: Sequence[Knobs],
    part: Part,
    scale: float,
    risk: RiskMeasure,
    kept: Checkpoint | None = None,
) -> npt.NDArray[np.bool_]:
    """Failures of each setting against the first, which is the full model: bool (settings, samples).

    What an earlier, interrupted count has `kept` is taken from there.
    """
    inputs = scaled(part.inputs, scale)
    full = run(engine.build(settings[0]), inputs).outputs
    known = {} if kept is None else kept.failures(len(part))
    masks = [np.zeros(len(part), np.bool_)]
    for setting in settings[1:]:
        name = name_of(setting)
        if name not in known:
            known[name] = risk.failures(full, run(engine.build(setting), inputs).outputs, part.labels)
            if kept is not None:
                kept.add_failures(name, known[name])
        masks.append(known[name])
    return np.stack(masks)
