"""What the routing paper predicts and what holds: skip probability and cost. Pure.

Section 3.3 of the paper gives P(skip) = erf(tau sqrt(d) / (sigma sqrt(pi))). The mean of d absolute values of
N(0, sigma^2) is close to normal with mean sigma sqrt(2 / pi) and variance sigma^2 (1 - 2 / pi) / d, which gives a
step near tau = 0.798 sigma instead.
"""

import math


def skip_probability(dimension: int, tau: float, sigma: float = 1.0) -> float:
    """P(mean |x| <= tau) for x ~ N(0, sigma^2) in `dimension` dimensions, by the central limit theorem."""
    distance = tau / sigma - math.sqrt(2 / math.pi)
    return 0.5 * math.erfc(-math.sqrt(dimension) * distance / math.sqrt(1 - 2 / math.pi) / math.sqrt(2))


def published_skip_probability(dimension: int, tau: float, sigma: float = 1.0) -> float:
    """The paper's formula, to be shown beside the other."""
    return math.erf(tau * math.sqrt(dimension) / (sigma * math.sqrt(math.pi)))


def cost_ratio(dimension: int, skip_ratio: float) -> float:
    """The paper's cost model, ((1 - s) B d^2 + B d) / (B d^2), where B cancels: gates cost 1 / d of a block."""
    return 1 - skip_ratio + 1 / dimension
