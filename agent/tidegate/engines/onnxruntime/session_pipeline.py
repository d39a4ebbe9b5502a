"""Taking batches through the partitions of a network: who stays, who leaves where, and what gates remember."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array
from tidegate.engines.onnxruntime.bound_session import Value, bound
from tidegate.engines.onnxruntime.graph import BEST_TWO, CARRIED, FRAME, FRESH, PREVIOUS, RAN, SEEN, TAU, X, Y
from tidegate.engines.onnxruntime.session import Session
from tidegate.engines.plan.margin_limit import margin_limit
from tidegate.engines.plan.partitions import Partition
from tidegate.engines.runtime.pipeline_variant import PipelineResult

_DATATYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
"""Of values between partitions: plain, or codes."""


@dataclass(frozen=True, slots=True)
class ReadyPartition:
    """A partition with its session. Samples leave behind it when their margin is above `leave_above`."""

    partition: Partition
    session: Session
    tau: Array
    leave_above: float
    outputs: tuple[str, ...]
    places: Mapping[str, int]
    """Of the outputs, by name."""
    always: int
    """Blocks that every sample runs."""
    remembers: bool
    """Whether its gates compare with the last frame."""

    @classmethod
    def of(
        cls,
        partition: Partition,
        session: Session,
        thresholds: Mapping[str, float],
        exits: Mapping[str, float],
    ) -> "ReadyPartition":
        """A partition at the thresholds of a point."""
        names = tuple(output.name for output in session.runtime.get_outputs())
        tau = np.array([thresholds[subgraph.name] for subgraph in partition.gated], np.float32)
        leave_above = np.inf if partition.leaving is None else exits[partition.leaving.name]
        always = sum(subgraph.always_runs for subgraph in partition.subgraphs)
        remembers = any(name.startswith(f"{SEEN}/") for name in names)
        places = {name: place for place, name in enumerate(names)}
        return cls(partition, session, tau, leave_above, names, places, always, remembers)


class _Step(NamedTuple):
    """A partition as one sample finds it, with as few objects as an answer can do with: asked a few times a second
    it finds the processor's caches cold, and each of them costs.

    Whoever's margin is above `leave_above` has its `answer`, after `executed` blocks; None for `best_two`:
    everybody has.
    """

    invoke: Callable[[], None]
    best_two: "memoryview[float] | None"
    leave_above: float
    answer: Array
    executed: int


class SessionPipeline:
    """A network's partitions in a row. Gates that compare with the last frame remember it here."""

    def __init__(self, partitions: Sequence[ReadyPartition], on_cpu: bool = True) -> None:
        """`on_cpu`: whether sessions compute where arrays lie."""
        self._partitions = partitions
        self._one_by_one = any(ready.partition.gated for ready in partitions)
        self._frames: dict[str, Value] = {}
        self._entrance = np.empty((1, *partitions[0].partition.first.shape), np.float32)
        self._steps = tuple(_steps(partitions, self._entrance)) if on_cpu and not self._one_by_one else ()

    @property
    def weights_bytes(self) -> int:
        """Bytes of weights in the sessions."""
        return sum(ready.session.weights_bytes for ready in self._partitions)

    def run(self, batch: Array) -> PipelineResult:
        """Answer a batch (samples, *input shape), float32 and contiguous."""
        if len(batch) == 1 and self._steps:
            # What `_batch` gives for one sample where no gate decides: between partitions there is only a compare.
            self._entrance[...] = batch
            for invoke, best_two, leave_above, answer, executed in self._steps:
                invoke()
                if best_two is None or best_two[0] - best_two[1] > leave_above:
                    return answer.copy(), executed
        # An If decides for all it is given, and gates decide per sample.
        if not self._one_by_one or len(batch) == 1:
            return self._batch(batch)
        each = [self._batch(batch[index : index + 1]) for index in range(len(batch))]
        return np.concatenate([outputs for outputs, _ in each]), sum(executed for _, executed in each)

    def _batch(self, batch: Array) -> PipelineResult:
        executed = 0
        feeds: dict[str, Value] = {X: batch}
        # None: all samples of the batch, in order; then nothing is gathered or scattered.
        rows: npt.NDArray[np.intp] | None = None
        answers: Array | None = None
        for ready in self._partitions:
            found = self._partition(ready, feeds)
            executed += ready.always * len(feeds[X])
            if ready.partition.gated:
                executed += int(np.count_nonzero(found[RAN]))
            outputs = found[Y].astype(np.float32, copy=False)
            if ready.partition.leaving is None:
                break
            best = found[BEST_TWO].astype(np.float32, copy=False)
            stays = best[:, 0] - best[:, 1] <= ready.leave_above
            if stays.all():
                feeds = _carried(found)
                continue
            if answers is None or rows is None:
                answers, rows = np.empty((len(batch), *outputs.shape[1:]), np.float32), np.arange(len(batch))
            answers[rows[~stays]] = outputs[~stays]
            rows = rows[stays]
            if len(rows) == 0:
                break
            feeds = {name: value[stays] for name, value in _carried(found).items()}
        if answers is None or rows is None:
            return outputs, executed
        if len(rows):
            answers[rows] = outputs
        return answers, executed

    def _partition(self, ready: ReadyPartition, feeds: dict[str, Value]) -> dict[str, Value]:
        """The outputs of one partition by name; gates that compare with the last frame remember this one."""
        gated = ready.partition.gated
        if gated:
            feeds = {**feeds, TAU: ready.tau}
        if ready.remembers:
            feeds |= self._last_frames(ready)
        found = dict(zip(ready.outputs, ready.session.runtime.run(ready.outputs, feeds), strict=True))
        if ready.remembers:
            self._frames |= {subgraph.name: found[f"{SEEN}/{subgraph.name}"] for subgraph in gated}
        return found

    def _last_frames(self, ready: ReadyPartition) -> dict[str, Value]:
        gated = ready.partition.gated
        fresh = np.array([subgraph.name not in self._frames for subgraph in gated])
        none_yet = {subgraph.name: np.zeros((1, *subgraph.shape), np.float32) for subgraph in gated}
        frames = {f"{FRAME}/{name}": self._frames.get(name, zeros) for name, zeros in none_yet.items()}
        return {FRESH: fresh, **frames}


def _steps(partitions: Sequence[ReadyPartition], entrance: Value) -> Iterator[_Step]:
    """Each partition writes what the next one reads."""
    value = entrance
    executed = 0
    for ready in partitions:
        executed += ready.always
        leaving = ready.partition.leaving
        answers = ready.partition.subgraphs[-1] if leaving is None else leaving.exit_head
        assert answers is not None  # noqa: S101 - samples leave by a head
        outputs: dict[str, Value] = {Y: np.empty((1, *answers.output_shape), np.float32)}
        best_two = None
        if leaving is not None:
            two: Value = np.empty((1, 2), np.float32)
            best_two = memoryview(two.data).cast("B").cast("f")
            carried = ready.session.runtime.get_outputs()[ready.places[CARRIED]]
            outputs |= {BEST_TWO: two, CARRIED: np.empty(_one(carried.shape), _DATATYPES[carried.type])}
        invoke = bound(ready.session.runtime, {X: value}, outputs)
        yield _Step(invoke, best_two, margin_limit(ready.leave_above), outputs[Y].view(np.float32), executed)
        value = outputs.get(CARRIED, value)


def _one(shape: Sequence[int | str]) -> tuple[int, ...]:
    """A declared shape for one sample."""
    _, *rest = shape
    return (1, *(int(size) for size in rest))


def _carried(found: Mapping[str, Value]) -> dict[str, Value]:
    """What the next partition takes."""
    carried = {X: found[CARRIED]}
    if PREVIOUS in found:
        carried[PREVIOUS] = found[PREVIOUS]
    return carried
