"""Takes only time that others don't want: by the lowest priority, or by resting where a sandbox forbids that."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from tidegate.engines.engine import Answer, Array, Engine, Variant
from tidegate.models.ladder import OperatingPoint

NICE = 19
REST = 3.0
"""For each second of answering, so that a quarter of the time is taken."""


def yields_to_all() -> bool:
    """Have the lowest priority from now on; False where a sandbox forbids it, as the service's unit does."""
    try:
        # Not SCHED_IDLE: on a device that is busy all day a count would never end.
        os.nice(NICE)
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class PatientEngine:
    """Another engine, whose variants rest after each batch."""

    engine: Engine
    sleep: Callable[[float], None] = time.sleep

    @property
    def name(self) -> str:
        """The other's."""
        return self.engine.name

    def check(self, point: OperatingPoint) -> None:
        """As the other does. Raises UnsupportedPoint."""
        self.engine.check(point)

    def prepare(self, point: OperatingPoint) -> Variant:
        """As the other does. Raises UnsupportedPoint."""
        return _PatientVariant(self.engine.prepare(point), self.sleep)


@dataclass(frozen=True, slots=True)
class _PatientVariant:
    variant: Variant
    sleep: Callable[[float], None]

    @property
    def point(self) -> OperatingPoint:
        return self.variant.point

    @property
    def weights_resident_bytes(self) -> int:
        return self.variant.weights_resident_bytes

    def run(self, batch: Array) -> Answer:
        began = time.perf_counter()
        answer = self.variant.run(batch)
        self.sleep(REST * (time.perf_counter() - began))
        return answer

    def release(self) -> None:
        self.variant.release()
