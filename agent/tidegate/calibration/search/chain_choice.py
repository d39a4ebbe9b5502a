"""Which of several chains is certified: part S decides, and part C is never asked."""

from collections.abc import Mapping, Sequence

import numpy as np

from tidegate.calibration.search.greedy_search import ChainStep
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.strategy import SearchStrategy

WORTHWHILE = 0.95
"""Turning all knobs from the start must bring the cost below this share of what exits first brings. The more kinds
of knobs are set on S, the better they fit S and not the data: what S hardly tells apart goes to the fewer."""

Chain = Sequence[ChainStep]


def best_strategy(
    chains: Mapping[SearchStrategy, Chain], objective: Objective, alphas: Sequence[float]
) -> SearchStrategy:
    """The strategy with the cheapest points, on average over the losses to be certified, as far as S can tell."""

    def mean_cost(strategy: SearchStrategy) -> float:
        return float(np.mean([cost_within(chains[strategy], objective, alpha) for alpha in alphas]))

    if SearchStrategy.EXITS_FIRST not in chains:
        return SearchStrategy.ALL_AT_ONCE
    worthwhile = mean_cost(SearchStrategy.ALL_AT_ONCE) < WORTHWHILE * mean_cost(SearchStrategy.EXITS_FIRST)
    return SearchStrategy.ALL_AT_ONCE if worthwhile else SearchStrategy.EXITS_FIRST


def cost_within(chain: Chain, objective: Objective, alpha: float) -> float:
    """What the cheapest point costs before the first that loses more than alpha on S."""
    cheapest = objective.cost(chain[0].cost)
    for step in chain:
        if step.loss > alpha:
            break
        cheapest = min(cheapest, objective.cost(step.cost))
    return cheapest
