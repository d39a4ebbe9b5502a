"""Which held-out inputs fail at a point: all that certification needs to know of a network."""

import numpy as np
import numpy.typing as npt

from tidegate.calibration.certify.kept_failures import KeptFailures
from tidegate.calibration.certify.risk import RiskMeasure
from tidegate.calibration.data.batches import answer_on_all_cores
from tidegate.calibration.data.split import Part
from tidegate.engines.engine import Engine
from tidegate.models.bundle.evidence import scaled
from tidegate.models.ladder import OperatingPoint


class Outcomes:
    """Failures of points on one part of the data, against one full point on the same engine."""

    def __init__(
        self,
        engine: Engine,
        full: OperatingPoint,
        part: Part,
        scale: float,
        risk: RiskMeasure,
        kept: KeptFailures | None = None,
    ) -> None:
        """What an earlier, interrupted count has `kept` is taken from there."""
        self._engine = engine
        self._part = part
        self._risk = risk
        self._kept = kept
        self._inputs = scaled(part.inputs, scale)
        self._full = answer_on_all_cores(engine, full, self._inputs).outputs

    def failed(self, point: OperatingPoint) -> npt.NDArray[np.bool_]:
        """Which samples fail at the point: bool (samples,)."""
        known = None if self._kept is None else self._kept.of(point)
        if known is not None:
            return known
        outputs = answer_on_all_cores(self._engine, point, self._inputs).outputs
        failed = self._risk.failures(self._full, outputs, self._part.truth)
        if self._kept is not None:
            self._kept.add(point, failed)
        return failed
