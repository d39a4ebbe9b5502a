"""What a gate is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tidegate.models.graph import Segment


@dataclass(frozen=True, slots=True)
class GateInput:
    """What a gate may look at: the block's input (samples, ...) and the input of the block before it, in float32.

    Both in the same order of samples; there is no previous one before the first block.
    """

    x: Tensor
    previous: Tensor | None = None


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

    Where the network has an exit there, `head` gives answers from the block's input; else it is None.
    """

    block: Segment
    head: Callable[[Tensor], Tensor] | None = None
    head_flops: int = 0
