"""Greedy selection of knob positions under a target, and the exhaustive optimum to hold it against. Pure.

The AdaptiveActivation paper (section III.C) walks down a rank list of single effects. Effects add up otherwise
than alone, so here the list only proposes: the next few of it are measured jointly with all that is turned
already, the best is taken, and one that breaks the ceiling is rolled back and barred.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

Positions = tuple[int, ...]

LOSS_FLOOR = 1e-4
"""Below this a step's loss is noise of the data, and the saving alone decides."""

MAX_COMBINATIONS = 20_000
"""Most combinations that the exhaustive search measures: minutes on a small net."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured: `loss` ranks steps, `risk` (a share of inputs) has a ceiling, `cost` has a target."""

    loss: float
    risk: float
    cost: float


class Problem(Protocol):
    """Knobs as positions, 0 being the start; to measure one setting of all is the expensive part."""

    @property
    def sizes(self) -> Sequence[int]:
        """Number of positions of each knob."""

    def measure(self, positions: Positions) -> Trial:
        """All knobs together at these positions."""

    def rank(self, positions: Positions) -> Iterable[int]:
        """Knobs whose next position may help, the most promising first."""


@dataclass(frozen=True, slots=True)
class Step:
    """One point of the path; `knob` was turned to get there, None at the start."""

    positions: Positions
    knob: int | None
    trial: Trial


@dataclass(frozen=True, slots=True)
class Selection:
    """A nested path from the start down, and how many measured moves were rolled back for their risk."""

    path: tuple[Step, ...]
    rolled_back: int

    def reaching(self, cost: float) -> Step | None:
        """The first point of the path at this cost or below; None: infeasible along it."""
        return next((step for step in self.path if step.trial.cost <= cost), None)


def greedy(problem: Problem, target_cost: float, max_risk: float, width: int = 4) -> Selection:
    """Turn one knob at a time until the target is met or nothing is left; `width` moves are measured per step."""
    start = (0,) * len(problem.sizes)
    path = [Step(start, None, problem.measure(start))]
    barred: set[int] = set()
    rolled_back = 0
    while path[-1].trial.cost > target_cost:
        now = path[-1]
        accepted, too_risky = _next_step(problem, now, barred, max_risk, width)
        barred |= too_risky
        rolled_back += len(too_risky)
        if accepted is None:
            break
        path.append(accepted)
    return Selection(tuple(path), rolled_back)


def exhaustive(problem: Problem, target_cost: float, max_risk: float) -> Step | None:
    """The least loss of all combinations within target and ceiling; None when there is none.

    Raises ValueError for more than MAX_COMBINATIONS.
    """
    count = math.prod(problem.sizes)
    if count > MAX_COMBINATIONS:
        raise ValueError(f"{count} combinations of knobs, at most {MAX_COMBINATIONS} are tried one by one")
    combinations = itertools.product(*(range(size) for size in problem.sizes))
    steps = (Step(positions, None, problem.measure(positions)) for positions in combinations)
    allowed = (step for step in steps if step.trial.cost <= target_cost and step.trial.risk <= max_risk)
    return min(allowed, key=lambda step: step.trial.loss, default=None)


def _next_step(
    problem: Problem, now: Step, barred: set[int], max_risk: float, width: int
) -> tuple[Step | None, set[int]]:
    """The best allowed step of the first `width` moves that have one, and the moves found too risky on the way."""
    too_risky: set[int] = set()
    ranked = (knob for knob in problem.rank(now.positions) if knob not in barred)
    while batch := list(itertools.islice(ranked, width)):
        steps = [_turned(problem, now, knob) for knob in batch]
        helping = [step for step in steps if step.trial.cost < now.trial.cost]
        too_risky |= {step.knob for step in helping if step.trial.risk > max_risk and step.knob is not None}
        allowed = [step for step in helping if step.trial.risk <= max_risk]
        if allowed:
            return min(allowed, key=lambda step: _loss_per_saving(now.trial, step.trial)), too_risky
    return None, too_risky


def _turned(problem: Problem, now: Step, knob: int) -> Step:
    positions = tuple(place + (index == knob) for index, place in enumerate(now.positions))
    return Step(positions, knob, problem.measure(positions))


def _loss_per_saving(now: Trial, then: Trial) -> float:
    return max(then.loss - now.loss, LOSS_FLOOR) / (now.cost - then.cost)
