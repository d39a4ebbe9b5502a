"""Taking batches through the partitions of a network: who stays, who leaves where, and what gates remember."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array
from tidegate.engines.onnxruntime.graph import BEST_TWO, CARRIED, FRAME, FRESH, PREVIOUS, RAN, SEEN, TAU, X, Y
from tidegate.engines.onnxruntime.session import Session
from tidegate.engines.plan.partitions import Partition
from tidegate.engines.runtime.pipeline_variant import PipelineResult

Value = npt.NDArray[np.generic]


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


class SessionPipeline:
    """A network's partitions in a row. Gates that compare with the last frame remember it here."""

    def __init__(self, partitions: Sequence[ReadyPartition]) -> None:
        self._partitions = partitions
        self._one_by_one = any(ready.partition.gated for ready in partitions)
        self._frames: dict[str, Value] = {}

    @property
    def weights_bytes(self) -> int:
        """Bytes of weights in the sessions."""
        return sum(ready.session.weights_bytes for ready in self._partitions)

    def run(self, batch: Array) -> PipelineResult:
        """Answer a batch (samples, *input shape), float32 and contiguous."""
        if len(batch) == 1 and not self._one_by_one:
            return self._sample(batch)
        # An If decides for all it is given, and gates decide per sample.
        if not self._one_by_one or len(batch) == 1:
            return self._batch(batch)
        each = [self._batch(batch[index : index + 1]) for index in range(len(batch))]
        return PipelineResult(
            np.concatenate([one.outputs for one in each]), sum(one.executed_blocks for one in each)
        )

    def _sample(self, sample: Array) -> PipelineResult:
        """What `_batch` gives for one sample where no gate decides, by fewer subgraphs.

        Asked a few times a second, an answer finds the processor's caches cold, and every subgraph costs.
        """
        value: Value = sample
        executed = 0
        for ready in self._partitions:
            given = ready.session.runtime.run(ready.outputs, {X: value})
            executed += ready.always
            places = ready.places
            if ready.partition.leaving is None:
                break
            best, second = given[places[BEST_TWO]][0]
            if best - second > ready.leave_above:
                break
            value = given[places[CARRIED]]
        return PipelineResult(given[places[Y]].astype(np.float32, copy=False), executed)

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
            return PipelineResult(outputs, executed)
        if len(rows):
            answers[rows] = outputs
        return PipelineResult(answers, executed)

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


def _carried(found: Mapping[str, Value]) -> dict[str, Value]:
    """What the next partition takes."""
    carried = {X: found[CARRIED]}
    if PREVIOUS in found:
        carried[PREVIOUS] = found[PREVIOUS]
    return carried
