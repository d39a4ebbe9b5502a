"""What a gate is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tidegate.models.graph import Segment

Widen = Callable[[Tensor], Tensor]
"""From the form in which an engine keeps a value to float32."""


def unchanged(x: Tensor) -> Tensor:
    """Of engines that keep values as float32."""
    return x


@dataclass(frozen=True, slots=True)
class GateInput:
    """What a gate may look at: the block's input (samples, ...), and the input of the block before it.

    Both as the engine keeps them, in the same order of samples; there is no previous one before the first block.
    An engine may write over `kept` once the gates have decided: who wants it later copies it.
    """

    kept: Tensor
    kept_previous: Tensor | None = None
    widen: Widen = unchanged
    widen_previous: Widen = unchanged

    @property
    def x(self) -> Tensor:
        """The block's input in float32."""
        return self.widen(self.kept)

    @property
    def previous(self) -> Tensor | None:
        """The previous block's input in float32."""
        return None if self.kept_previous is None else self.widen_previous(self.kept_previous)


@dataclass(frozen=True, slots=True)
class GateDecision:
    """`open`: which samples the gate lets into the block, bool (samples,), or one bool for all.

    `answers` (samples, *output shape): the others leave the network with these; None: they go on behind the
    block, by way of its stand-in.
    """

    open: Tensor | bool
    answers: Tensor | None = None


class Gate(Protocol):
    """Decides per sample whether the block behind it runs."""

    @property
    def flops(self) -> int:
        """Operations it takes to decide for one sample."""

    @property
    def looks_back(self) -> bool:
        """Whether it looks at the previous block's input."""

    def decide(self, given: GateInput) -> GateDecision:
        """The decision on a batch of at least one sample, one for each or one for all."""


@dataclass(frozen=True, slots=True)
class GatePosition:
    """Where a gate stands: before `block`.

    Where the network has an exit there, `head` gives answers in float32 from the block's input as the engine
    keeps it; else it is None.
    """

    block: Segment
    head: Callable[[Tensor], Tensor] | None = None
    head_flops: int = 0
