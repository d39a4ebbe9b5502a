"""AdaptiveActivation as a selection problem: knobs turned on one network, measured on part S."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from tidegate.calibration.certify.risk import DISAGREEMENT, mean_kl, newly_wrong
from tidegate.calibration.fit.activation_statistics import ActivationStatistics
from tidegate.engines.engine import Array
from tidegate.engines.reference.tracing import Trace, Tracer
from tidegate.models.aa_relu import adapted
from tidegate.models.encoding import stored_bytes
from tidegate.models.ladder import Activation
from tidegate_bench.adaptive_activation.knobs import BitsKnob, Choice, Knob, ZerosKnob
from tidegate_bench.adaptive_activation.selection import LOSS_FLOOR, Positions, Trial

_NOTHING = 1e-9
"""Stands in for a saving of no bytes, so that such a move ranks last instead of dividing by zero."""


@dataclass(frozen=True, slots=True)
class Data:
    """Inputs (n, *input shape) and, where there are any, labels (n,)."""

    inputs: Array
    labels: npt.NDArray[np.int64] | None

    def risk(self, reference: Array, outputs: Array) -> float:
        """Share newly wrong against the reference's answers; without labels, share that differs."""
        if self.labels is None:
            return float(DISAGREEMENT.differ(reference, outputs).mean())
        return float(newly_wrong(reference, outputs, self.labels).mean())


Cost = Callable[[Choice, Trace], float]
"""What a target bounds: bytes, milliseconds or millijoules of one choice."""


def memory_cost(_choice: Choice, trace: Trace) -> float:
    """Bytes of weights resident and encoded live activations."""
    return float(trace.model_bytes)


def activation_cost(_choice: Choice, trace: Trace) -> float:
    """Bytes of encoded live activations alone."""
    return float(trace.peak_live_encoded_bytes)


def expected_bytes(found: ActivationStatistics, setting: Activation, fp_bits: int = 32) -> int:
    """Bytes of one activation tensor per input at a setting, encoded where that is smaller."""
    nonzero = float(torch.count_nonzero(adapted(found.sample, setting, found.tensor.floor))) / max(
        1, len(found.sample)
    )
    elements = found.tensor.elements
    return stored_bytes(elements, math.ceil(nonzero * elements), setting.bits or fp_bits)


class Adaptive:
    """A `selection.Problem`. What was measured is kept, so that asking again is free."""

    def __init__(
        self,
        tracer: Tracer,
        start: Choice,
        knobs: Sequence[Knob],
        data: Data,
        reference: Array,
        cost: Cost = memory_cost,
    ) -> None:
        """`reference` holds the full net's outputs on the data; all losses and risks are against them."""
        self._tracer = tracer
        self._start = start
        self._knobs = knobs
        self._data = data
        self._reference = reference
        self._cost = cost
        self._trials: dict[Positions, tuple[Trial, str]] = {}
        segments = list(dict.fromkeys(tensor.segment for tensor in tracer.activation_tensors))
        self._reader = dict(pairwise(segments))

    @property
    def sizes(self) -> Sequence[int]:
        """Number of positions of each knob."""
        return [knob.size for knob in self._knobs]

    def choice(self, positions: Positions) -> Choice:
        """The knobs at their positions; those at 0 leave the start as it is."""
        choice = self._start
        for knob, position in zip(self._knobs, positions, strict=True):
            choice = knob.turned(choice, position) if position > 0 else choice
        return choice

    def measure(self, positions: Positions) -> Trial:
        """KL divergence and risk against the full net's answers, and the cost."""
        return self._measured(positions)[0]

    def rank(self, positions: Positions) -> Iterator[int]:
        """The paper's rank list: each knob's own loss for its next position per what that saves, least first.

        Weights save everywhere, activation tensors only where the most is alive.
        """
        _, peak = self._measured(positions)
        open_knobs = [index for index, size in enumerate(self.sizes) if positions[index] + 1 < size]
        promises = {index: self._loss_per_saving(index, positions, peak) for index in open_knobs}
        yield from sorted(open_knobs, key=promises.__getitem__)

    def alone(self, index: int, position: int) -> Trial:
        """One knob at a position, all others at the start."""
        return self.measure(tuple(position if place == index else 0 for place in range(len(self._knobs))))

    def _measured(self, positions: Positions) -> tuple[Trial, str]:
        if positions not in self._trials:
            choice = self.choice(positions)
            trace = self._tracer.trace(choice.setting, self._data.inputs)
            loss = mean_kl(self._reference, trace.outputs)
            risk = self._data.risk(self._reference, trace.outputs)
            self._trials[positions] = Trial(loss, risk, self._cost(choice, trace)), trace.peak_segment
        return self._trials[positions]

    def _loss_per_saving(self, index: int, positions: Positions, peak: str) -> float:
        before, after = (self.alone(index, positions[index] + step) for step in (0, 1))
        saving = self._saving(index, positions, peak, before.cost - after.cost)
        return max(after.loss - before.loss, LOSS_FLOOR) / max(saving, _NOTHING)

    def _saving(self, index: int, positions: Positions, peak: str, alone: float) -> float:
        """Bytes that an activation tensor loses, if alive at the peak; for other knobs what they save alone."""
        knob = self._knobs[index]
        if self._cost not in {memory_cost, activation_cost} or not isinstance(knob, BitsKnob | ZerosKnob):
            return alone
        tensor = knob.found.tensor
        if peak not in {tensor.segment, self._reader.get(tensor.segment)}:
            return 0.0
        choice = self.choice(positions)
        before, after = (
            expected_bytes(knob.found, each.setting.activations.get(tensor.name, Activation()))
            for each in (choice, knob.turned(choice, positions[index] + 1))
        )
        return before - after
