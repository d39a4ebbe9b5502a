"""Which layers compute in 8 bits where not all of them can: the most sensitive ones stay in fp32. Pure.

What each layer loses alone in 8 bits gives the order, as in the AdaptiveActivation paper's rank list. Losses don't
simply add up: whoever calls measures the sets that are proposed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_UNITS = 48
"""Groups of layers that are measured one by one: in a network of more layers neighbours share a group."""

WORTH_STEP = 0.98
"""Of what the step before costs: one that costs more is left out."""

_NO_LOSS, _NO_SAVING = 1e-12, 1e-9


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Layers that change precision together: the loss of them alone in 8 bits, and the share, 0..1, they save."""

    layers: tuple[str, ...]
    loss: float
    saving: float


def units_of(layers: Sequence[str], most: int = MOST_UNITS) -> tuple[tuple[str, ...], ...]:
    """At most so many groups of these, neighbours together."""
    each = max(-(-len(layers) // most), 1)
    return tuple(tuple(layers[start : start + each]) for start in range(0, len(layers), each))


def narrowed(sensitivities: Sequence[Sensitivity]) -> tuple[tuple[Sensitivity, ...], ...]:
    """What stays in fp32, from set to set less, down to nothing; each holds the next.

    What loses most for what it saves stays longest. Sets are finest where few stay: ..., 8, 6, 4, 3, 2, 1, 0.
    """

    def price(each: Sensitivity) -> float:
        return max(each.loss, _NO_LOSS) / max(each.saving, _NO_SAVING)

    by_price = sorted(sensitivities, key=price, reverse=True)
    counts = {0, *(share * 2**power for share in (2, 3) for power in range(12)), 1}
    return tuple(tuple(by_price[:count]) for count in sorted(counts, reverse=True) if count < len(by_price))


def falling(costs: Sequence[float], tolerated: Sequence[bool]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which steps, full first, make the beginning, down to the cheapest that is tolerated, and which come behind.

    Both go by falling cost. Full is tolerated whatever is said of it.
    """
    base = min((index for index, allowed in enumerate(tolerated) if allowed or not index), key=costs.__getitem__)
    kept, further = [0], list[int]()
    for index in range(1, len(costs)):
        behind = index > base
        if tolerated[index] == behind:
            continue
        if costs[index] < WORTH_STEP * costs[(kept + further)[-1]]:
            (further if behind else kept).append(index)
    return tuple(kept), tuple(further)
