"""What a runtime can do, as data: all that the plan wants to know of it."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tidegate.models.ladder import Precision


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Of one runtime: the precisions that its layers have, and the operators that it computes on integers when all
    that they read is integers; by name, as `models.graph.operators` has them."""

    precisions: AbstractSet[Precision]
    on_integers: AbstractSet[str]
