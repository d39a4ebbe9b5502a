"""A bet against a bound on a share, that may be looked at whenever one likes. Pure.

Wealth starts at 1 and, were the share within the bound, could hardly ever reach 1 / delta, however often one looks
(Ville's inequality; Waudby-Smith and Ramdas, arXiv:2010.09686). Several stakes are played side by side and
averaged, since how far the bound is exceeded is not known beforehand.
"""

import math

MULTIPLES = (1.5, 2.0, 4.0, 8.0)
"""The multiples of the bound that the stakes are best against."""

START = (0.0,) * len(MULTIPLES)
"""The logarithms of the stakes' wealths before the first look."""

_NO_BOUND = 0.999


def after(wealths: tuple[float, ...], bound: float, seen: int, failed: int) -> tuple[float, ...]:
    """The logarithms of the wealths after so many more, whatever their order; a bound of 0 or 1 is no bet."""
    if not 0 <= failed <= seen:
        raise ValueError(f"{failed} failures in {seen}")
    if not 0.0 < bound < _NO_BOUND:
        return wealths
    grown = []
    for wealth, multiple in zip(wealths, MULTIPLES, strict=True):
        # The likelihood ratio of this share against the bound itself: a fair bet at the bound.
        share = min(_NO_BOUND, bound * multiple)
        gain = failed * math.log(share / bound)
        gain += (seen - failed) * math.log((1.0 - share) / (1.0 - bound))
        grown.append(wealth + gain)
    return tuple(grown)


def refuted(wealths: tuple[float, ...], delta: float) -> bool:
    """Whether the bound is refuted at confidence 1 - delta."""
    highest = max(wealths)
    mean = highest + math.log(sum(math.exp(each - highest) for each in wealths) / len(wealths))
    return mean >= -math.log(delta)
