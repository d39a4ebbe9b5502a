"""One forward pass under way: which samples are still in the network, and what has been counted so far."""

from copy import copy

import torch
from torch import Tensor

from tidegate.models.gates import GateDecision


class BatchState:
    """The samples between two stages. Made for one pass and thrown away with it."""

    def __init__(self, x: Tensor, blocks: tuple[str, ...]) -> None:
        self.x = x
        self.previous: Tensor | None = None
        self.executed = dict.fromkeys(blocks, 0)
        self.flops = 0
        self.decisions = 0
        self._samples = len(x)
        # None: all samples of the batch, in order. The common case then gathers and scatters nothing.
        self._rows: Tensor | None = None
        self._answers: Tensor | None = None

    def copy(self) -> "BatchState":
        """Another state from here on, with samples of its own."""
        other = copy(self)
        other.x = self.x.clone()
        other.previous = None if self.previous is None else self.previous.clone()
        other.executed = dict(self.executed)
        other._answers = None if self._answers is None else self._answers.clone()  # noqa: SLF001 - its own class
        return other

    def leave(self, decision: GateDecision) -> None:
        """Samples that the gate is shut for leave with their answers; the others stay, closed up."""
        if decision.answers is None or isinstance(decision.open, bool):
            raise TypeError("samples leave by a decision with answers, decided per sample")
        if len(self.x) == 1 and decision.open:
            return
        # By indexing, not index_select, here and below: that gives channels first whatever it is given.
        staying = decision.open.nonzero().flatten()
        if len(staying) == len(self.x):
            return
        if len(staying) == 0 and self._rows is None:
            self._answers, self._rows, self.x = decision.answers, staying, self.x[:0]
            return
        leaving = (~decision.open).nonzero().flatten()
        if self._answers is None:
            self._answers = decision.answers.new_empty((self._samples, *decision.answers.shape[1:]))
        rows = torch.arange(self._samples) if self._rows is None else self._rows
        self._answers[rows[leaving]] = decision.answers[leaving]
        self._rows = rows[staying]
        self.x = self.x[staying]
        if self.previous is not None:
            self.previous = self.previous[staying]

    def outputs(self) -> Tensor:
        """The answers of all samples: `x` for those that went to the end."""
        if self._answers is None:
            return self.x
        if self._rows is not None and len(self._rows):
            self._answers[self._rows] = self.x
        return self._answers
