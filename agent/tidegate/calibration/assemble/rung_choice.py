"""Which points of a certified chain become rungs, and what they are called. Pure."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.models.ladder import Precision

MAX_RUNGS = 8

SMALLER = 0.95
"""A rung that is no faster must bring bytes below this share of those of every rung above it."""

CHANCE = 0.02
"""That a rung passes for faster than one above which takes the same time: a paired sign test over turns."""


@dataclass(frozen=True, slots=True)
class RungCost:
    """What a point takes: processor time per input in each turn, all points on the same inputs; bytes held."""

    turns_ms: tuple[float, ...]
    weight_bytes: int
    held_bytes: int


def pick_rungs(
    alphas: Sequence[float | None],
    costs: Sequence[float],
    intermediate: frozenset[int] = frozenset(),
    at_most: int = MAX_RUNGS,
    always: frozenset[int] = frozenset(),
) -> tuple[int, ...]:
    """Indices into a nested chain, ascending, 0 (full) first; `alphas` are the certified ones, None for none.

    For every alpha the cheapest point that holds it: whatever costs more at the same alpha promises no more.
    Where those lie far apart, what was measured still tells points apart, so the widest gaps (by the ratio of
    costs) are halved with certified points, none of them `intermediate`, until there are `at_most`. Points in
    `always` are rungs in any case.
    """
    certified = [index for index, alpha in enumerate(alphas) if alpha is not None]
    rungs = (
        {0}
        | always
        | {max(i for i in certified if alphas[i] == alpha) for alpha in {alphas[i] for i in certified}}
    )
    while len(rungs) < at_most:
        filling = _in_widest_gap(sorted(rungs), costs, [index for index in certified if index not in intermediate])
        if filling is None:
            break
        rungs.add(filling)
    return tuple(sorted(rungs))


def undominated(costs: Sequence[RungCost], always: frozenset[int] = frozenset()) -> tuple[int, ...]:
    """Indices of the rungs (from full to cheapest) that are worth going down to as measured, or in `always`."""
    kept: list[int] = []
    for index, below in enumerate(costs):
        if index in always or all(_worthwhile(costs[above], below) for above in kept):
            kept.append(index)
    return tuple(kept)


def name_point(
    setting: KnobSettings, precisions: Collection[Precision], skip_ratio: float, taken: Sequence[str]
) -> str:
    """What a rung is called: `full`, `int8`, `mixed-skip-11`, `int8-aa4-24px-skip-30`.

    `precisions` are those of its layers but the exits'. `aa4` stands for AA-ReLU at 4 bits, `24px` for the images'
    height, `exits` for samples that leave and skip no block. A letter follows where two share a name.
    """
    plain = next(iter(precisions)) if len(set(precisions)) == 1 else "mixed"
    parts = [str(plain)]
    if setting.bits is not None:
        parts.append(f"aa{setting.bits}")
    if setting.resolution is not None:
        parts.append(f"{setting.resolution[0]}px")
    if not setting.runs_all:
        parts.append(f"skip-{skip_ratio * 100:.0f}" if skip_ratio > 0 else "exits")
    name = "full" if parts == [Precision.FP32] else "-".join(parts)
    return next(free for free in (name, *(f"{name}-{letter}" for letter in "bcdefg")) if free not in taken)


def _in_widest_gap(rungs: Sequence[int], costs: Sequence[float], fillings: Sequence[int]) -> int | None:
    """The filling nearest to the geometric middle of the widest gap that has one inside."""
    for above, below in sorted(pairwise(rungs), key=lambda gap: costs[gap[1]] / costs[gap[0]]):
        inside = [index for index in fillings if above < index < below]
        if inside:
            middle = math.sqrt(costs[above] * costs[below])
            return min(inside, key=lambda index: abs(costs[index] - middle))
    return None


def _worthwhile(above: RungCost, below: RungCost) -> bool:
    pairs = ((above.weight_bytes, below.weight_bytes), (above.held_bytes, below.held_bytes))
    return _is_faster(above.turns_ms, below.turns_ms) or any(less < SMALLER * more for more, less in pairs)


def _is_faster(above_ms: Sequence[float], below_ms: Sequence[float]) -> bool:
    turns = len(above_ms)
    won = sum(below < above for above, below in zip(above_ms, below_ms, strict=True))
    chance = sum(math.comb(turns, count) for count in range(won, turns + 1)) / 2.0**turns
    return chance <= CHANCE
