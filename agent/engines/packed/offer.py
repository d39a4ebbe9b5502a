"""What the packed engine offers on this machine, as its probe found it. No torch here."""

from dataclasses import dataclass

from agent.models.ladder import Precision


@dataclass(frozen=True, slots=True)
class Offer:
    """Precisions whose kernels passed the probe; `weight_limit` bounds int8 codes, `reason` tells what failed."""

    precisions: frozenset[Precision]
    weight_limit: int
    reason: str = ""
