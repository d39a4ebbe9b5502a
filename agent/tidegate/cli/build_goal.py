"""What `tidegate bundle build` aims for: its options as a goal, knobs and a target."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic_core import PydanticCustomError

from tidegate.calibration.search.goal import DEFAULT_KNOBS, Goal, GoalError, Knob, Target
from tidegate.quantities.dimension import Dimension
from tidegate.quantities.units import LATENCY, MEMORY, SHARE, quantity

_MILLIJOULE = Dimension("energy of one inference", "20 mJ", {"mJ": Decimal(1), "J": Decimal(1000)}, most=1e12)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A goal, what may be turned for it, and how far it should come down, if anybody said."""

    goal: Goal
    knobs: frozenset[Knob]
    target: Target | None


def wanted_of(
    aim: Goal | None,
    share: str | None,
    limits: Sequence[tuple[Goal, str | None]],
    with_knobs: Sequence[Knob],
    without_knobs: Sequence[Knob],
) -> Wanted:
    """From `--aim`, `--target`, `--target-GOAL`, `--with` and `--without`. Raises GoalError naming the option."""
    target = _target(aim, share, [(goal, text) for goal, text in limits if text is not None])
    goal = aim or (Goal.BALANCED if target is None else target.goal)
    both = set(with_knobs) & set(without_knobs)
    if both:
        raise GoalError(f"--with and --without both name {', '.join(sorted(both))}: say which")
    knobs = (DEFAULT_KNOBS[goal] | set(with_knobs)) - set(without_knobs)
    if Knob.INT4 in knobs and Knob.INT8 not in knobs:
        raise GoalError("--without int8: int4 weights are the high halves of int8 ones; say --without int4 too")
    if not knobs - {Knob.THREADS}:
        raise GoalError("--without: no knob is left to search over; leave at least one in")
    return Wanted(goal, knobs, target)


def _target(aim: Goal | None, share: str | None, limits: Sequence[tuple[Goal, str]]) -> Target | None:
    if len(limits) + (share is not None) > 1:
        raise GoalError("only one target is possible: one of --target, --target-memory, --target-latency, ...")
    if share is not None:
        if aim in {None, Goal.BALANCED}:
            raise GoalError(f"--target {share}: a share of what? Say --aim memory, latency or energy")
        saved = _quantity("--target", share, SHARE)
        if not 0 < saved < 1:
            raise GoalError(f"--target {share}: allowed is more than 0 % and less than 100 %")
        return Target(aim, share=saved)
    for goal, text in limits:
        if aim not in {None, goal}:
            raise GoalError(f"--target-{goal} {text}: the aim is {aim}; say --aim {goal}")
        return Target(goal, limit=_quantity(f"--target-{goal}", text, _DIMENSIONS[goal]))
    return None


def _quantity(option: str, text: str, dimension: Dimension) -> float:
    try:
        return quantity(text, dimension)
    except PydanticCustomError as error:
        facts = error.context or {}
        raise GoalError(f"{option} {text}: {facts['message']}; allowed is {facts['allowed']}") from error


_DIMENSIONS = {Goal.MEMORY: MEMORY, Goal.LATENCY: LATENCY, Goal.ENERGY: _MILLIJOULE}
