"""The routing paper's gate (section 3): run the block when the activity of its input exceeds a threshold."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class ActivityGate:
    """Open where mean_abs(x) > tau, per sample. The paper's prose says so; its pseudocode counts the reverse."""

    tau: float

    def open_for(self, x: Tensor) -> Tensor:
        """Bool (samples,)."""
        return mean_abs(x) > self.tau


def mean_abs(x: Tensor) -> Tensor:
    """Activity A(x): mean of absolute values per sample, (samples, ...) to (samples,)."""
    return x.abs().flatten(1).mean(1)
