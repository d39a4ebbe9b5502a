"""An operating point ready to answer, as a pipeline of models that a runtime has opened."""

from typing import Protocol

import numpy as np

from tidegate.engines.engine import Answer, Array
from tidegate.engines.resize import resized
from tidegate.engines.runtime.memory import return_freed
from tidegate.models.ladder import OperatingPoint

PipelineResult = tuple[Array, int]
"""Outputs of a batch (samples, ...), and how many skippable blocks ran over all of its samples."""


class Pipeline(Protocol):
    """Opened models in a row. Used from one thread at a time."""

    @property
    def weights_bytes(self) -> int:
        """Bytes of weights in its models, shared with other pipelines or not."""

    def run(self, batch: Array) -> PipelineResult:
        """Answer a batch (samples, *input shape), float32 and contiguous."""


class PipelineVariant:
    """A point, its pipeline, and the number of the network's skippable blocks."""

    def __init__(self, point: OperatingPoint, pipeline: Pipeline, blocks: int) -> None:
        self._point = point
        self._resolution = point.resolution
        self._pipeline: Pipeline | None = pipeline
        self._blocks = blocks

    @property
    def point(self) -> OperatingPoint:
        """The operating point it answers at."""
        return self._point

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of weights in its models, shared with other variants or not; 0 after `release`."""
        return 0 if self._pipeline is None else self._pipeline.weights_bytes

    def run(self, batch: Array) -> Answer:
        """Answer a batch of shape (samples, *input shape). Raises RuntimeError after `release`."""
        # Asked a few times a second, an answer finds the caches cold: each call in Python from here to the runtime
        # is some microseconds then, and `np.require` was 40.
        pipeline = self._pipeline
        if pipeline is None:
            raise RuntimeError(f"operating point {self._point.name} was released and can't run")
        x = np.ascontiguousarray(batch, np.float32)
        if self._resolution is not None:
            x = np.ascontiguousarray(resized(x, self._resolution), np.float32)
        outputs, executed = pipeline.run(x)
        return Answer(outputs, executed, len(x) * self._blocks - executed)

    def release(self) -> None:
        """Let go of the models; those that another variant shares stay."""
        self._pipeline = None
        return_freed()
