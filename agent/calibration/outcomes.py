"""Which held-out inputs fail at which points of a chain: all that certification needs to know of a network."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.calibration.batches import answer_all
from agent.calibration.checkpoint import Checkpoint, name_of
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
    earlier: Checkpoint | None = None,
) -> npt.NDArray[np.bool_]:
    """Failures of each point against the first, which is the full model: bool (points, samples).

    What an `earlier`, interrupted count has kept is taken from there.
    """
    inputs = scaled(part.inputs, scale)
    full = answer_all(engine.prepare(points[0]), inputs).outputs
    known = {} if earlier is None else earlier.failures(len(part))
    masks = [np.zeros(len(part), np.bool_)]
    for point in points[1:]:
        # A point in fp32 names the reference engine wherever it runs; whose answers these are is another matter.
        name = f"{engine.name} {name_of(point)}"
        if name not in known:
            known[name] = risk.failures(full, answer_all(engine.prepare(point), inputs).outputs, part.labels)
            if earlier is not None:
                earlier.add_failures(name, known[name])
        masks.append(known[name])
    return np.stack(masks)
