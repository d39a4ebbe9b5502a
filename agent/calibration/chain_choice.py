"""Which of several chains is certified: part S decides, and part C is never asked."""

from collections.abc import Mapping, Sequence

import numpy as np

from agent.calibration.course import Course
from agent.calibration.search import Aim, Step

Chain = Sequence[Step]


def best_course(chains: Mapping[Course, Chain], aim: Aim, alphas: Sequence[float]) -> Course:
    """The course with the cheapest points, on average over the losses to be certified, as far as S can tell."""

    def mean_cost(course: Course) -> float:
        return float(np.mean([cost_within(chains[course], aim, alpha) for alpha in alphas]))

    return min(chains, key=mean_cost)


def cost_within(chain: Chain, aim: Aim, alpha: float) -> float:
    """What the cheapest point costs before the first that loses more than alpha on S."""
    cheapest = aim.cost(chain[0].cost)
    for step in chain:
        if step.loss > alpha:
            break
        cheapest = min(cheapest, aim.cost(step.cost))
    return cheapest
