"""What a gate is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from agent.models.graph import Segment


@dataclass(frozen=True, slots=True)
class Seen:
    """What a gate may look at: the block's input (samples, ...), and the input of the block before it.

    `previous` holds the same samples in the same order; None before the first block.
    """

    x: Tensor
    previous: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
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

    def decide(self, seen: Seen) -> Verdict:
        """The verdict on a batch of at least one sample."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a gate stands: before `block`; `head` gives answers there where the network has an exit, else None."""

    block: Segment
    head: Callable[[Tensor], Tensor] | None = None
    head_flops: int = 0
