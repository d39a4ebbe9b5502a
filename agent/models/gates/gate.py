"""What a gate is."""

from typing import Protocol

from torch import Tensor


class Gate(Protocol):
    """Decides per sample whether the block behind it runs."""

    def open_for(self, x: Tensor) -> Tensor | bool:
        """Bool (samples,) for a block input (samples, ...); a plain bool when it is the same for all samples."""
