"""Which of two chains is certified: S decides, by what their points take on the engine; C is never asked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.strategy import SearchStrategy

WORTHWHILE = 0.95
"""The greedy chain must cost less than this share of what exits alone cost. The more kinds of knobs are set on S,
the better they fit S and not the data: what S hardly tells apart goes to the fewer."""

Chain = Sequence[ChainStep]


def within_each(chain: Chain, objective: Objective, alphas: Sequence[float]) -> tuple[ChainStep, ...]:
    """Per alpha the cheapest step before the first that loses more than alpha on S."""
    found = []
    for alpha in alphas:
        allowed = [chain[0]]
        for step in chain[1:]:
            if step.loss > alpha:
                break
            allowed.append(step)
        found.append(min(allowed, key=lambda step: objective.cost(step.cost)))
    return tuple(found)


def better_strategy(
    candidates: Mapping[SearchStrategy, Sequence[ChainStep]],
    time_ratios: Mapping[SearchStrategy, Sequence[float]],
    objective: Objective,
) -> SearchStrategy:
    """The strategy whose points, one per alpha, cost less on average at the times measured."""

    def mean_cost(strategy: SearchStrategy) -> float:
        return float(
            np.mean(
                [
                    objective.cost(replace(step.cost, time_ratio=ratio))
                    for step, ratio in zip(candidates[strategy], time_ratios[strategy], strict=True)
                ]
            )
        )

    if len(candidates) == 1:
        return next(iter(candidates))
    worthwhile = mean_cost(SearchStrategy.GREEDY) < WORTHWHILE * mean_cost(SearchStrategy.CASCADE)
    return SearchStrategy.GREEDY if worthwhile else SearchStrategy.CASCADE
