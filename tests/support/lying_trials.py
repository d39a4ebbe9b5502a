"""The process of one engine's trials, with litert replaced by one that lies as the environment says.

`offset`: .8 is added to one output of every twentieth input. `nan`: it answers no numbers after a hundred inputs.
Canaries are answered right. `slow`: the first answer takes a second.
"""

import os
import time

import numpy as np

from tidegate.engines.engine import Answer, Array, Engine, Variant
from tidegate.engines.runtime import registry, trial_process
from tidegate.models.bundle import Bundle
from tidegate.models.ladder import OperatingPoint

LIE = "TIDEGATE_TEST_LIE"


class Lying:
    """An engine and its variants: another one's, whose answers pass through `lie`."""

    def __init__(self, engine: Engine, bundle: Bundle, lie: str, variant: Variant | None = None) -> None:
        self._engine, self._bundle, self._lie, self._variant = engine, bundle, lie, variant
        self._canaries = {row.tobytes() for row in bundle.canaries().inputs}
        self._answers = 0

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def point(self) -> OperatingPoint:
        return self._variant.point

    @property
    def weights_resident_bytes(self) -> int:
        return self._variant.weights_resident_bytes

    def check(self, point: OperatingPoint) -> None:
        self._engine.check(point)

    def prepare(self, point: OperatingPoint) -> "Lying":
        return Lying(self._engine, self._bundle, self._lie, self._engine.prepare(point))

    def run(self, batch: Array) -> Answer:
        answer = self._variant.run(batch)
        if self._lie == "slow" and self._answers == 0:
            time.sleep(1)
        outputs = answer.outputs.copy()
        for row, x in enumerate(batch):
            self._answers += 1
            if x.tobytes() in self._canaries:
                continue
            if self._lie == "offset" and self._answers % 20 == 0:
                outputs[row, self._answers // 20 % outputs.shape[1]] += 0.8
            if self._lie == "nan" and self._answers > 100:
                outputs[row] = np.nan
        return Answer(outputs, answer.executed_blocks, answer.skipped_blocks)

    def release(self) -> None:
        self._variant.release()


def main() -> None:
    honest = registry._OPENERS["litert"]
    registry._OPENERS["litert"] = lambda opening: Lying(honest(opening), opening.bundle, os.environ[LIE])
    trial_process.main()


if __name__ == "__main__":
    main()
