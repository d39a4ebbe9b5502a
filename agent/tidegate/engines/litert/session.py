"""Models opened, and samples taken through them one by one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array, UnsupportedPoint
from tidegate.engines.litert.model import Model
from tidegate.engines.litert.runtime import Interpreter
from tidegate.engines.plan.axis_order import Order
from tidegate.engines.plan.stages import Stage
from tidegate.engines.runtime.pipeline_variant import PipelineResult
from tidegate.models.ladder import Activity

Value = npt.NDArray[np.generic]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Session:
    """A model, opened, with its input and its outputs as LiteRT holds them: views, good until the next run.

    `taken` has the axes as the model wants them, `taken_in_order` as the graph counts them; so has `answer`, which
    is None where the model gives none.
    """

    model: Model
    invoke: Callable[[], object]
    taken: Value
    taken_in_order: Value
    outputs: tuple[Value, ...]
    answer: Array | None

    @classmethod
    def open(cls, model: Model, threads: int) -> "Session":
        """Raises UnsupportedPoint when LiteRT refuses the model."""
        try:
            interpreter = Interpreter(model_content=model.data, num_threads=threads)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise UnsupportedPoint(f"LiteRT refuses the model: {str(error).partition(chr(10))[0]}") from error
        (taken,) = (interpreter.tensor(each["index"])() for each in interpreter.get_input_details())
        outputs = tuple(interpreter.tensor(each["index"])() for each in interpreter.get_output_details())
        answer = (
            None if model.answer is None else _in_order(outputs[model.answer].view(np.float32), model.answer_axes)
        )
        # Its own `invoke` refuses to run while there are views, as tensors might be allocated anew. Their shapes
        # never change here. Copies in and out, and the check, took as long as a small network where an answer
        # finds the caches cold.
        invoke = interpreter._interpreter.Invoke  # noqa: SLF001 - there is no other way around that check
        return cls(model, invoke, taken, _in_order(taken, model.input_order), outputs, answer)

    def run(self, value: Value) -> None:
        """Compute on one value, laid out as the model wants it."""
        self.taken[...] = value
        self.invoke()

    def output(self, place: int) -> Value:
        """What the last run gave, until the next."""
        return self.outputs[place]


def _in_order(view: npt.NDArray[Scalar], axes: Order | None) -> npt.NDArray[Scalar]:
    """A view whose axes lie as `axes` says, as the graph counts them."""
    return view if axes is None else np.transpose(view, np.argsort(axes).tolist())


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


class _Step(NamedTuple):
    """A stage without a gate, as few objects as an answer can do with: asked a few times a second, it finds the
    processor's caches cold, and each of them costs.

    `source` goes to `place`; None stands for the sample itself. Whoever's margin is above `leave_above` has its
    `answer`, after `executed` blocks; None for `best_two`: everybody has.
    """

    place: Value
    source: Value | None
    invoke: Callable[[], object]
    best_two: "memoryview[float] | None"
    leave_above: float
    answer: Array
    executed: int


class StagedPipeline:
    """A network's stages in a row. Gates that compare with the last frame remember it here."""

    def __init__(self, stages: Sequence[ReadyStage], activity: Activity) -> None:
        self._stages = stages
        self._activity = activity
        self._frames: dict[str, Value] = {}
        self._steps = () if any(ready.stage.gated for ready in stages) else tuple(_steps(stages))

    @property
    def weights_bytes(self) -> int:
        """Bytes of the models, which are their weights but for some kilobytes."""
        sessions = [each for ready in self._stages for each in (ready.session, ready.block, ready.stand_in)]
        return sum(len(session.model.data) for session in sessions if session is not None)

    def run(self, batch: Array) -> PipelineResult:
        """Answer a batch (samples, *input shape), float32 and contiguous."""
        if len(batch) > 1:
            each = [self.run(batch[index : index + 1]) for index in range(len(batch))]
            return np.concatenate([answer for answer, _ in each]), sum(count for _, count in each)
        for place, source, invoke, best_two, leave_above, answer, executed in self._steps:
            place[...] = batch if source is None else source
            invoke()
            if best_two is None or best_two[0] - best_two[1] > leave_above:
                return answer.copy(), executed
        return self._through(batch)

    def _through(self, entering: Array) -> PipelineResult:
        """One sample of a network with gates."""
        order = self._stages[0].session.model.input_order
        sample = _Sample(np.transpose(entering, order))
        for ready in self._stages:
            session, model = ready.session, ready.session.model
            session.run(sample.value)
            sample.executed += ready.always
            if model.best_two is not None:
                ((best, second),) = session.output(model.best_two).tolist()
                if best - second > ready.leave_above:
                    return _given(session), sample.executed
            if ready.stage.answers:
                return _given(session), sample.executed
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
        if self._activity is Activity.FRAME_CHANGE:
            before = self._frames.get(block)
            self._frames[block] = seen.copy()
        else:
            before = sample.before if model.before is None else session.output(model.before)
            sample.before = seen
        return np.inf if before is None else _relative_change(seen, before)


def _steps(stages: Sequence[ReadyStage]) -> Iterator[_Step]:
    source: Value | None = None
    executed = 0
    for ready in stages:
        session, model = ready.session, ready.session.model
        place = session.taken_in_order if source is None else session.taken
        executed += ready.always
        best_two = None
        if model.best_two is not None:
            best_two = memoryview(session.outputs[model.best_two].data).cast("B").cast("f")
        yield _Step(place, source, session.invoke, best_two, ready.leave_above, _answer_of(session), executed)
        source = source if model.carried is None else session.outputs[model.carried]


def _answer_of(session: Session) -> Array:
    assert session.answer is not None  # noqa: S101 - samples may leave behind it, or it is the last
    return session.answer


def _given(session: Session) -> Array:
    """The answer of the last run, which the next doesn't change."""
    return _answer_of(session).copy()


def _relative_change(x: Value, before: Value) -> float:
    """|x - before| / |before| in the Euclidean norm, in float32 as `models.gates.activity` has it."""
    size = max(np.linalg.norm(before.ravel()), np.finfo(np.float32).tiny)
    return float(np.linalg.norm((x.astype(np.float32) - before.astype(np.float32)).ravel()) / size)
