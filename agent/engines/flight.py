"""One forward pass under way: which samples are still in the network, and what has been counted so far."""

from copy import copy

import torch
from torch import Tensor

from agent.models.gates import Seen, Verdict


class Flight:
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

    def copy(self) -> "Flight":
        """Another flight from here on. Samples are shared: stages make new tensors and write into none."""
        other = copy(self)
        other.executed = dict(self.executed)
        other._answers = None if self._answers is None else self._answers.clone()  # noqa: SLF001 - its own class
        return other

    @property
    def seen(self) -> Seen:
        """What the gates of the next block may look at."""
        return Seen(self.x, self.previous)

    def leave(self, verdict: Verdict) -> None:
        """Samples that the gate is shut for leave with their answers; the others stay, closed up."""
        if verdict.answers is None or isinstance(verdict.open, bool):
            raise TypeError("samples leave by a verdict with answers, decided per sample")
        leaving = (~verdict.open).nonzero().flatten()
        if len(leaving) == 0:
            return
        answers = verdict.answers.index_select(0, leaving)
        if self._answers is None:
            self._answers = answers.new_empty((self._samples, *answers.shape[1:]))
        rows = torch.arange(self._samples) if self._rows is None else self._rows
        self._answers[rows[leaving]] = answers
        staying = verdict.open.nonzero().flatten()
        self._rows = rows[staying]
        self.x = self.x.index_select(0, staying)
        if self.previous is not None:
            self.previous = self.previous.index_select(0, staying)

    def outputs(self) -> Tensor:
        """The answers of all samples: `x` for those that went to the end."""
        if self._answers is None:
            return self.x
        if self._rows is not None and len(self._rows):
            self._answers[self._rows] = self.x
        return self._answers
