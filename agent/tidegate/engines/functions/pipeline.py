"""Samples taken through a point's functions, one by one: what gates and exits decide is decided between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array
from tidegate.engines.functions.names import ANSWER, BEFORE, CARRIED, GIVEN, SCORE, SEEN
from tidegate.engines.plan.stages import Stage
from tidegate.engines.runtime.pipeline_variant import PipelineResult
from tidegate.models.ladder import Activity


class OpenFunction(Protocol):
    """A function, loaded: coremltools' CompiledMLModel is one. Outputs come in fp32, whatever it computes in."""

    def predict(self, data: Mapping[str, npt.NDArray[np.generic]]) -> Mapping[str, npt.NDArray[np.generic]]: ...


@dataclass(frozen=True, slots=True)
class ReadyStage:
    """A stage with its functions. Samples leave behind it when their margin is above `leave_above`.

    `block` runs where the gate's score is above `tau`, else `stand_in`; None passes the input on.
    """

    stage: Stage
    function: OpenFunction
    leave_above: float
    tau: float
    block: OpenFunction | None
    stand_in: OpenFunction | None

    @property
    def always(self) -> int:
        """How many blocks every sample runs in it."""
        return sum(run.subgraph.always_runs for run in self.stage.runs)


@dataclass(slots=True)
class _Sample:
    value: Array
    executed: int = 0
    before: Array | None = None


@dataclass(slots=True)
class FunctionPipeline:
    """A point's stages in a row. `is_wide`: its functions take fp32, else fp16."""

    stages: Sequence[ReadyStage]
    activity: Activity
    weights_bytes: int
    is_wide: bool = False
    _frames: dict[str, Array] = field(default_factory=dict)

    def run(self, batch: Array) -> PipelineResult:
        """Answer a batch (samples, *input shape), float32."""
        answers, executed = [], 0
        for index in range(len(batch)):
            sample = _Sample(batch[index : index + 1])
            answers.append(self._through(sample))
            executed += sample.executed
        return np.concatenate(answers), executed

    def _predict(self, function: OpenFunction, value: Array) -> Mapping[str, Array]:
        narrow: npt.NDArray[np.generic] = np.ascontiguousarray(value, np.float32 if self.is_wide else np.float16)
        found = function.predict({GIVEN: narrow})
        return {name: np.asarray(each, np.float32) for name, each in found.items()}

    def _through(self, sample: _Sample) -> Array:
        for ready in self.stages:
            found = self._predict(ready.function, sample.value)
            sample.executed += ready.always
            if ready.stage.leaving is not None and _margin(found[ANSWER]) > ready.leave_above:
                return found[ANSWER]
            if ready.stage.answers:
                return found[ANSWER]
            sample.value = found[CARRIED]
            if ready.stage.gated is not None:
                self._gated(ready, ready.stage.gated.name, sample, found)
        raise AssertionError("the last stage answers")

    def _gated(self, ready: ReadyStage, block: str, sample: _Sample, found: Mapping[str, Array]) -> None:
        is_open = self._score(block, sample, found) > ready.tau
        sample.executed += is_open
        chosen = ready.block if is_open else ready.stand_in
        if chosen is not None:
            sample.value = self._predict(chosen, sample.value)[CARRIED]

    def _score(self, block: str, sample: _Sample, found: Mapping[str, Array]) -> float:
        if SCORE in found:
            return float(found[SCORE].ravel()[0])
        seen = found[SEEN]
        if self.activity is Activity.FRAME_CHANGE:
            before = self._frames.get(block)
            self._frames[block] = seen
        else:
            before = found.get(BEFORE, sample.before)
            sample.before = seen
        return np.inf if before is None else _relative_change(seen, before)


def _margin(logits: Array) -> float:
    """Best minus second-best softmax probability of (1, classes)."""
    powers = np.exp(logits[0] - logits[0].max())
    second, best = np.sort(powers / powers.sum())[-2:]
    return float(best - second)


def _relative_change(x: Array, before: Array) -> float:
    """|x - before| / |before| in the Euclidean norm, as `models.gates.activity` has it."""
    size = max(float(np.linalg.norm(before.ravel())), float(np.finfo(np.float32).tiny))
    return float(np.linalg.norm((x - before).ravel())) / size
