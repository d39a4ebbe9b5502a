"""What a runtime can do, as data: all that the plan wants to know of it."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tidegate.models.ladder import Precision


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Of one runtime, operators by name, as `models.graph.operators` has them.

    `precisions` are those that its layers have, `on_integers` what it computes on integers when all that is read
    is integers. Of layers in int8, `dynamic` ones may read float32, which the runtime quantizes row by row
    (dynamic quantization) and gives float32 for; `float_outputs` ones read codes and may give float32.
    """

    precisions: AbstractSet[Precision]
    on_integers: AbstractSet[str]
    dynamic: AbstractSet[str] = frozenset()
    float_outputs: AbstractSet[str] = frozenset()
