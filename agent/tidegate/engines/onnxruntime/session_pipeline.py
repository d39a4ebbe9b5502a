"""Taking batches through the parts of a network: who stays, who leaves where, and what gates remember."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array
from tidegate.engines.onnxruntime.graph import CARRIED, FRAME, FRESH, MARGIN, PREVIOUS, RAN, SEEN, TAU, X, Y
from tidegate.engines.onnxruntime.partitions import Partition
from tidegate.engines.onnxruntime.session import Session

Value = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class ReadyPartition:
    """A part with its session. Samples leave behind it when their margin is above `leave_above`."""

    part: Partition
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
        part: Partition,
        session: Session,
        thresholds: Mapping[str, float],
        exits: Mapping[str, float],
    ) -> "ReadyPartition":
        """A part at the thresholds of a point."""
        names = tuple(output.name for output in session.runtime.get_outputs())
        tau = np.array([thresholds[step.name] for step in part.gated], np.float32)
        leave_above = np.inf if part.leaving is None else exits[part.leaving.name]
        always = sum(step.always_runs for step in part.steps)
        remembers = any(name.startswith(f"{SEEN}/") for name in names)
        places = {name: place for place, name in enumerate(names)}
        return cls(part, session, tau, leave_above, names, places, always, remembers)


@dataclass(slots=True)
class PipelineResult:
    """What came of a batch: outputs (samples, ...), how many blocks ran, and whether each gated one did.

    `opened` is for one sample alone.
    """

    outputs: Array
    executed: int
    opened: dict[str, bool] = field(default_factory=dict)


class SessionPipeline:
    """A network's parts in a row. Gates that compare with the last frame remember it here."""

    def __init__(self, parts: Sequence[ReadyPartition]) -> None:
        self._parts = parts
        self._one_by_one = any(ready.part.gated for ready in parts)
        self._frames: dict[str, Value] = {}

    @property
    def weights_bytes(self) -> int:
        """Bytes of weights in the sessions."""
        return sum(ready.session.weights_bytes for ready in self._parts)

    def run(self, batch: Array) -> PipelineResult:
        """Answer a batch (samples, *input shape), float32 and contiguous."""
        if len(batch) == 1 and not self._one_by_one:
            return self._straight(batch)
        # An If decides for all it is given, and gates decide per sample.
        if not self._one_by_one or len(batch) == 1:
            return self._fly(batch)
        each = [self._fly(batch[index : index + 1]) for index in range(len(batch))]
        return PipelineResult(np.concatenate([one.outputs for one in each]), sum(one.executed for one in each))

    def _straight(self, sample: Array) -> PipelineResult:
        """What `_fly` gives for one sample where no gate decides, by fewer steps.

        Asked a few times a second, an answer finds the processor's caches cold, and every step costs.
        """
        value: Value = sample
        executed = 0
        for ready in self._parts:
            given = ready.session.runtime.run(ready.outputs, {X: value})
            executed += ready.always
            places = ready.places
            if ready.part.leaving is None or given[places[MARGIN]][0] > ready.leave_above:
                break
            value = given[places[CARRIED]]
        return PipelineResult(given[places[Y]].astype(np.float32, copy=False), executed)

    def _fly(self, batch: Array) -> PipelineResult:
        done = PipelineResult(batch, 0)
        feeds: dict[str, Value] = {X: batch}
        # None: all samples of the batch, in order; then nothing is gathered or scattered.
        rows: npt.NDArray[np.intp] | None = None
        answers: Array | None = None
        for ready in self._parts:
            found = self._part(ready, feeds, done)
            outputs = found[Y].astype(np.float32, copy=False)
            if ready.part.leaving is None:
                break
            stays = found[MARGIN].astype(np.float32, copy=False) <= ready.leave_above
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
            done.outputs = outputs
        else:
            if len(rows):
                answers[rows] = outputs
            done.outputs = answers
        return done

    def _part(self, ready: ReadyPartition, feeds: dict[str, Value], done: PipelineResult) -> dict[str, Value]:
        done.executed += ready.always * len(feeds[X])
        gated = ready.part.gated
        if gated:
            feeds = {**feeds, TAU: ready.tau}
        if ready.remembers:
            feeds |= self._last_frames(ready)
        found = dict(zip(ready.outputs, ready.session.runtime.run(ready.outputs, feeds), strict=True))
        if gated:
            ran = found[RAN]
            done.executed += int(np.count_nonzero(ran))
            done.opened |= {step.name: bool(each) for step, each in zip(gated, ran, strict=True)}
        if ready.remembers:
            self._frames |= {step.name: found[f"{SEEN}/{step.name}"] for step in gated}
        return found

    def _last_frames(self, ready: ReadyPartition) -> dict[str, Value]:
        gated = ready.part.gated
        fresh = np.array([step.name not in self._frames for step in gated])
        none_yet = {step.name: np.zeros((1, *step.shape), np.float32) for step in gated}
        frames = {f"{FRAME}/{name}": self._frames.get(name, zeros) for name, zeros in none_yet.items()}
        return {FRESH: fresh, **frames}


def _carried(found: Mapping[str, Value]) -> dict[str, Value]:
    """What the next part takes."""
    carried = {X: found[CARRIED]}
    if PREVIOUS in found:
        carried[PREVIOUS] = found[PREVIOUS]
    return carried
