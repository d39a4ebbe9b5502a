"""Which of several chains is certified: part S decides, and part C is never asked."""

from collections.abc import Mapping, Sequence

import numpy as np

from tidegate.calibration.search.greedy_search import Aim, Step
from tidegate.calibration.search.strategy import Course

WORTHWHILE = 0.95
"""Turning all knobs from the start must bring the cost below this share of what exits first brings. The more kinds
of knobs are set on S, the better they fit S and not the data: what S hardly tells apart goes to the fewer."""

Chain = Sequence[Step]


def best_course(chains: Mapping[Course, Chain], aim: Aim, alphas: Sequence[float]) -> Course:
    """The course with the cheapest points, on average over the losses to be certified, as far as S can tell."""

    def mean_cost(course: Course) -> float:
        return float(np.mean([cost_within(chains[course], aim, alpha) for alpha in alphas]))

    if Course.EXITS_FIRST not in chains:
        return Course.ALL_AT_ONCE
    worthwhile = mean_cost(Course.ALL_AT_ONCE) < WORTHWHILE * mean_cost(Course.EXITS_FIRST)
    return Course.ALL_AT_ONCE if worthwhile else Course.EXITS_FIRST


def cost_within(chain: Chain, aim: Aim, alpha: float) -> float:
    """What the cheapest point costs before the first that loses more than alpha on S."""
    cheapest = aim.cost(chain[0].cost)
    for step in chain:
        if step.loss > alpha:
            break
        cheapest = min(cheapest, aim.cost(step.cost))
    return cheapest
