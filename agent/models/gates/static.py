"""Gates that don't look at the input."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class AlwaysOpen:
    """The block runs."""

    def open_for(self, x: Tensor) -> bool:  # noqa: ARG002 - the interface's argument
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class AlwaysShut:
    """The block is skipped; its weights need not be in memory."""

    def open_for(self, x: Tensor) -> bool:  # noqa: ARG002 - the interface's argument
        """False."""
        return False
