"""The routing paper's gate (section 3): run the block when the activity of its input exceeds a threshold."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tidegate.models.gates.gate import GateDecision, GateInput, GatePosition
from tidegate.models.knobs import Knobs
from tidegate.models.ladder import Activity

Score = Callable[[GateInput], Tensor]


@dataclass(frozen=True, slots=True)
class ActivityGate:
    """Open where A(x) > tau, per sample. The paper's prose says so; its pseudocode counts the reverse."""

    tau: float
    score: Score
    flops: int
    looks_back: bool = False

    def decide(self, given: GateInput) -> GateDecision:
        """Open, bool (samples,), where the score of the block's input exceeds tau."""
        return GateDecision(self.score(given) > self.tau)


class FrameChange:
    """Relative change of a block's input against the previous frame's, which it remembers from call to call.

    The samples of a batch are taken as consecutive frames. A change of shape starts anew. With no frame before
    it a sample's change is infinite, so that the block runs.
    """

    def __init__(self) -> None:
        self._last: Tensor | None = None

    def __call__(self, given: GateInput) -> Tensor:
        """Scores (samples,) of a batch; the last sample is kept for the next call."""
        x = given.x
        last, self._last = self._last, x[-1:].clone()
        if last is None or last.shape[1:] != x.shape[1:]:
            return torch.cat([x.new_full((1,), math.inf), relative_change(x[1:], x[:-1])])
        return relative_change(x, torch.cat([last, x[:-1]]))


def mean_abs(x: Tensor) -> Tensor:
    """The paper's A(x): mean of absolute values per sample, (samples, ...) to (samples,)."""
    return x.abs().mean(_axes(x))


def rms(x: Tensor) -> Tensor:
    """Root of the mean square per sample."""
    return x.square().mean(_axes(x)).sqrt()


def largest(x: Tensor) -> Tensor:
    """Largest absolute value per sample."""
    return x.abs().amax(_axes(x))


def density(x: Tensor) -> Tensor:
    """Share of non-zero values per sample: a sparse input scores low."""
    return (x != 0).mean(_axes(x), dtype=torch.float32)


def relative_change(x: Tensor, before: Tensor) -> Tensor:
    """|x - before| / |before| per sample, in the Euclidean norm."""
    size: Tensor = torch.linalg.vector_norm(before, dim=_axes(x))
    change: Tensor = torch.linalg.vector_norm(x - before, dim=_axes(x))
    ratio: Tensor = change / size.clamp_min(torch.finfo(size.dtype).tiny)
    return ratio


def score_of(activity: Activity) -> Score:
    """The scoring function of a kind; each call gives one of its own, as FRAME_CHANGE has a memory."""
    return FrameChange() if activity is Activity.FRAME_CHANGE else _OF_INPUT[activity]


def score_flops(activity: Activity, elements: int) -> int:
    """Operations of one sample's score, counted per element of the block's input."""
    return _OPERATIONS_PER_ELEMENT[activity] * elements


def gate_for(knobs: Knobs, position: GatePosition) -> ActivityGate | None:
    """For a block with a threshold."""
    tau = knobs.thresholds.get(position.block.name)
    if tau is None:
        return None
    flops = score_flops(knobs.activity, math.prod(position.block.input_shape))
    return ActivityGate(tau, score_of(knobs.activity), flops, knobs.activity is Activity.BLOCK_CHANGE)


def _axes(x: Tensor) -> tuple[int, ...]:
    """All but the samples'. Reduced at once: flattened first, a channels-last value would be copied."""
    return tuple(range(1, x.ndim))


def _block_change(given: GateInput) -> Tensor:
    """Against the input of the block before; infinite where there is none or its shape differs."""
    if given.previous is None or given.previous.shape != given.x.shape:
        return given.x.new_full((len(given.x),), math.inf)
    return relative_change(given.x, given.previous)


_OF_INPUT: Mapping[Activity, Score] = {
    Activity.MEAN_ABS: lambda given: mean_abs(given.x),
    Activity.RMS: lambda given: rms(given.x),
    Activity.MAX: lambda given: largest(given.x),
    Activity.SPARSITY: lambda given: density(given.x),
    Activity.BLOCK_CHANGE: _block_change,
}

# A sign, square, comparison or difference each, and the sum (or maximum) over them; changes need two norms.
_OPERATIONS_PER_ELEMENT: Mapping[Activity, int] = {
    Activity.MEAN_ABS: 2,
    Activity.RMS: 2,
    Activity.MAX: 2,
    Activity.SPARSITY: 2,
    Activity.BLOCK_CHANGE: 5,
    Activity.FRAME_CHANGE: 5,
}
