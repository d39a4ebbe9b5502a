"""What the packed engine offers on this machine, as its probe found it. No torch here."""

from dataclasses import dataclass

from tidegate.models.ladder import Precision


@dataclass(frozen=True, slots=True)
class Offer:
    """Precisions whose kernels passed the probe; `weight_limit` bounds int8 codes, `reason` tells what failed.

    `late` when a self-test's time was up. `most_non_zero` is the share of non-zero inputs up to which a sparse
    fully connected layer is faster; 0: never.
    """

    precisions: frozenset[Precision]
    weight_limit: int
    reason: str = ""
    most_non_zero: float = 0.0
    late: bool = False
