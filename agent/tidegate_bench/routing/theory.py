"""What the routing paper's gate should skip and save, by arithmetic. Pure.

The paper's P(skip) = erf(tau sqrt(d) / (sigma sqrt(pi))) (section 3.3) does not hold: the mean of d absolute
values is a sum, so that its distribution is nearly normal and narrows with d.
"""

import math


def skip_probability(tau: float, sigma: float, elements: int) -> float:
    """P(mean |x| <= tau) for `elements` independent x ~ N(0, sigma^2), by the central limit theorem.

    |x| has mean sigma sqrt(2/pi) and variance sigma^2 (1 - 2/pi): a step near tau = 0.798 sigma that gets
    steeper with the number of elements. Good to about 0.02 from 16 elements on.
    """
    if sigma <= 0 or elements < 1:
        raise ValueError(f"sigma {sigma} must be above 0 and elements {elements} at least 1")
    distance = (tau / sigma - math.sqrt(2 / math.pi)) * math.sqrt(elements / (1 - 2 / math.pi))
    return 0.5 * math.erfc(-distance / math.sqrt(2))


def paper_skip_probability(tau: float, sigma: float, elements: int) -> float:
    """The paper's formula as printed, to show how far off it is."""
    return math.erf(tau * math.sqrt(elements) / (sigma * math.sqrt(math.pi)))


def gated_cost(skipped: float, blocks: int, width: int) -> float:
    """The paper's expected cost (section 3.2), (1 - s) B d^2 + B d: executed blocks, and a score before each."""
    return (1 - skipped) * blocks * width**2 + blocks * width


def worthwhile_skip(width: int) -> float:
    """The share of skips from which gating costs less than not gating, by the same model: s > 1 / d."""
    return 1 / width
