"""The exact binomial test behind every certificate. Pure: counts in, probabilities and bounds out."""

import math

_STEPS = 60
"""Bisections of 0..1: to the last bit of a float."""


def holds(failures: int, n: int, alpha: float, delta: float) -> bool:
    """Whether so few failures in n show with confidence 1 - delta that the risk is at most alpha."""
    return binomial_cdf(failures, n, alpha) <= delta


def upper_bound(failures: int, n: int, delta: float) -> float:
    """The smallest alpha that `holds` for them (Clopper and Pearson, one-sided); 1 where n is 0."""
    low, high = failures / n if n else 1.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if 0 < middle < 1 and holds(failures, n, middle, delta):
            high = middle
        else:
            low = middle
    return high


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X <= k) for X ~ Binomial(n, p), 0 < p < 1: the p-value of "the risk exceeds p" after k failures in n."""
    return min(1.0, math.fsum(_probability(i, n, p) for i in range(k + 1)))


def samples_needed(alpha: float, delta: float) -> int:
    """The least n with which alpha can be certified at all, by not one failure: (1 - alpha)^n <= delta."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def _probability(k: int, n: int, p: float) -> float:
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_ways + k * math.log(p) + (n - k) * math.log1p(-p))
