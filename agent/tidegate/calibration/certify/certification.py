"""Which operating points lose no more than a stated share, and how surely. Pure: counts in, certificates out.

Learn then Test (arXiv:2110.01052): for one alpha the points are tested from the full end of a nested chain
downwards with the exact binomial tail, and testing stops at the first failure (fixed-sequence testing), so that
all points passed are right at once with the stated confidence. Several alphas share delta equally (Bonferroni),
so that every certificate on the ladder holds at once with confidence 1 - delta. The alphas must be fixed before
the certify part is looked at.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.models.ladder import Certificate, Risk


@dataclass(frozen=True, slots=True)
class Certification:
    """One certificate (or None) per point of the chain; and the alphas out of reach, with the n they need."""

    certificates: tuple[Certificate | None, ...]
    not_certifiable: tuple[tuple[float, int], ...]


def certify(
    failures: Sequence[int], n: int, alphas: Sequence[float], delta: float, risk: Risk = Risk.NEWLY_WRONG
) -> Certification:
    """Each point gets the smallest alpha it was certified at, or none.

    `failures` counts failing inputs out of the same `n` held-out ones, in chain order. Raises ValueError for
    counts outside 0..n, or alphas that are not ascending within (0, 1).
    """
    if any(not 0 <= count <= n for count in failures):
        raise ValueError(f"failures {list(failures)} must lie within 0..{n}")
    if list(alphas) != sorted(set(alphas)) or not all(0 < alpha < 1 for alpha in alphas):
        raise ValueError(f"alphas {list(alphas)} must ascend within 0..1")
    share = delta / len(alphas)
    certificates: list[Certificate | None] = [None] * len(failures)
    for alpha in reversed(alphas):
        for index, count in enumerate(failures):
            if not holds(count, n, alpha, share):
                break
            certificates[index] = Certificate(risk, alpha, delta, n, count)
    needed = [(alpha, samples_needed(alpha, share)) for alpha in alphas]
    return Certification(tuple(certificates), tuple((alpha, least) for alpha, least in needed if least > n))


def holds(failures: int, n: int, alpha: float, delta: float) -> bool:
    """Whether so few failures in n show with confidence 1 - delta that the risk is at most alpha."""
    return binomial_cdf(failures, n, alpha) <= delta


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X <= k) for X ~ Binomial(n, p), 0 < p < 1: the p-value of "the risk exceeds p" after k failures in n."""
    return min(1.0, math.fsum(_probability(i, n, p) for i in range(k + 1)))


def samples_needed(alpha: float, delta: float) -> int:
    """The least n with which alpha can be certified at all, by not one failure: (1 - alpha)^n <= delta."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def failures_allowed(n: int, alpha: float, delta: float) -> int | None:
    """The most failures in n that still certify alpha at confidence 1 - delta; None when not even 0 does."""
    allowed = None
    for count in range(n + 1):
        if not holds(count, n, alpha, delta):
            break
        allowed = count
    return allowed


def _probability(k: int, n: int, p: float) -> float:
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_ways + k * math.log(p) + (n - k) * math.log1p(-p))
