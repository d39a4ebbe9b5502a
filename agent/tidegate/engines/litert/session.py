"""Models opened, and samples taken through them one by one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array, UnsupportedPoint
from tidegate.engines.litert.model import Model
from tidegate.engines.litert.runtime import Interpreter
from tidegate.engines.plan.stages import Stage
from tidegate.engines.runtime.pipeline_variant import PipelineResult
from tidegate.models.ladder import Activity

Value = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Session:
    """A model, opened, with the numbers of its input and outputs."""

    model: Model
    interpreter: Interpreter
    given: int
    outputs: tuple[int, ...]

    @classmethod
    def open(cls, model: Model, threads: int) -> "Session":
        """Raises UnsupportedPoint when LiteRT refuses the model."""
        try:
            interpreter = Interpreter(model_content=model.data, num_threads=threads)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise UnsupportedPoint(f"LiteRT refuses the model: {str(error).partition(chr(10))[0]}") from error
        (given,) = (int(each["index"]) for each in interpreter.get_input_details())
        return cls(
            model, interpreter, given, tuple(int(each["index"]) for each in interpreter.get_output_details())
        )

    def run(self, value: Value) -> None:
        """Compute on one value, laid out as the model wants it."""
        self.interpreter.set_tensor(self.given, value)
        self.interpreter.invoke()

    def output(self, place: int) -> Value:
        """What the last run gave, as a copy."""
        found: Value = self.interpreter.get_tensor(self.outputs[place])
        return found

    def answer(self) -> Array:
        """The answer of the last run, its axes in the graph's order."""
        assert self.model.answer is not None  # noqa: S101 - the caller knows that it answers
        found = self.output(self.model.answer).astype(np.float32, copy=False)
        axes = self.model.answer_axes
        return found if axes is None else np.transpose(found, [axes.index(axis) for axis in range(len(axes))])


@dataclass(frozen=True, slots=True)
class ReadyStage:
    """A stage with its sessions. Samples leave behind it when their margin is above `leave_above`.

    `block` runs where the gate's score is above `tau`, else `stand_in`; None passes the input on. `always` counts
    the blocks that every sample runs.
    """

    stage: Stage
    session: Session
    leave_above: float
    tau: float
    block: Session | None
    stand_in: Session | None
    always: int


@dataclass(slots=True)
class _Sample:
    """One sample on its way."""

    value: Value
    executed: int = 0
    before: Value | None = None
    """The input of the block before, where a gate compares with it."""


@dataclass(slots=True)
class StagedPipeline:
    """A network's stages in a row. Gates that compare with the last frame remember it here."""

    stages: Sequence[ReadyStage]
    activity: Activity
    _frames: dict[str, Value] = field(default_factory=dict)

    @property
    def weights_bytes(self) -> int:
        """Bytes of the models, which are their weights but for some kilobytes."""
        sessions = [each for ready in self.stages for each in (ready.session, ready.block, ready.stand_in)]
        return sum(len(session.model.data) for session in sessions if session is not None)

    def run(self, batch: Array) -> PipelineResult:
        """Answer a batch (samples, *input shape), float32 and contiguous."""
        order = self.stages[0].session.model.input_order
        answers, executed = [], 0
        for index in range(len(batch)):
            sample = _Sample(np.ascontiguousarray(np.transpose(batch[index : index + 1], order)))
            answers.append(self._through(sample))
            executed += sample.executed
        return PipelineResult(np.concatenate(answers), executed)

    def _through(self, sample: _Sample) -> Array:
        for ready in self.stages:
            session, model = ready.session, ready.session.model
            session.run(sample.value)
            sample.executed += ready.always
            if model.best_two is not None:
                ((best, second),) = session.output(model.best_two)
                if best - second > ready.leave_above:
                    return session.answer()
            if ready.stage.answers:
                return session.answer()
            if model.carried is not None:
                sample.value = session.output(model.carried)
            if ready.stage.gated is not None:
                self._gated(ready, ready.stage.gated.name, sample)
        raise AssertionError("the last stage answers")

    def _gated(self, ready: ReadyStage, block: str, sample: _Sample) -> None:
        is_open = self._score(ready, block, sample) > ready.tau
        sample.executed += is_open
        chosen = ready.block if is_open else ready.stand_in
        if chosen is not None:
            chosen.run(sample.value)
            assert chosen.model.carried is not None  # noqa: S101 - a branch computes something
            sample.value = chosen.output(chosen.model.carried)

    def _score(self, ready: ReadyStage, block: str, sample: _Sample) -> float:
        session, model = ready.session, ready.session.model
        if model.score is not None:
            return float(session.output(model.score)[0])
        assert model.seen is not None  # noqa: S101 - what isn't scored inside is compared here
        seen = session.output(model.seen)
        if self.activity is Activity.FRAME_CHANGE:
            before = self._frames.get(block)
            self._frames[block] = seen
        else:
            before = sample.before if model.before is None else session.output(model.before)
            sample.before = seen
        return np.inf if before is None else _relative_change(seen, before)


def _relative_change(x: Value, before: Value) -> float:
    """|x - before| / |before| in the Euclidean norm, in float32 as `models.gates.activity` has it."""
    size = max(np.linalg.norm(before.ravel()), np.finfo(np.float32).tiny)
    return float(np.linalg.norm((x.astype(np.float32) - before.astype(np.float32)).ravel()) / size)
