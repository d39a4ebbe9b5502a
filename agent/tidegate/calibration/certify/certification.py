"""Which operating points lose no more than a stated share, and how surely. Pure: counts in, certificates out.

Learn then Test (arXiv:2110.01052): for one alpha the points are tested from the full end of a nested chain
downwards with the exact binomial tail, and testing stops at the first failure (fixed-sequence testing), so that
all points passed are right at once with the stated confidence. Several alphas share delta equally (Bonferroni), so
that every certificate on the ladder holds at once with confidence 1 - delta. An alpha that so few samples can't
certify gets no share, and one whose chain is passed to the end hands its share on to the others (the graphical
procedure of Bretz et al., doi:10.1002/sim.3495, one sequence per alpha). The alphas must be fixed before the
certify part is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.models.exact_test import holds, samples_needed
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
    tested = reachable(alphas, n, delta)
    needed = tuple(
        (alpha, samples_needed(alpha, delta / (len(tested) + 1))) for alpha in alphas if alpha not in tested
    )
    return Certification(_smallest_passed(failures, n, tested, delta, risk), needed)


def reachable(alphas: Sequence[float], n: int, delta: float) -> tuple[float, ...]:
    """Those of ascending alphas that n samples without a failure would certify, with an equal share of delta each.

    Decided by n alone, before any failure is counted: what the others would have had goes to these.
    """
    kept = tuple(alphas)
    while kept and samples_needed(kept[0], delta / len(kept)) > n:
        kept = kept[1:]
    return kept


def _smallest_passed(
    failures: Sequence[int], n: int, alphas: Sequence[float], delta: float, risk: Risk
) -> tuple[Certificate | None, ...]:
    shares = {alpha: delta / len(alphas) for alpha in alphas}
    passed: dict[float, int] = {}
    while shares:
        passed |= {alpha: _passed(failures, n, alpha, share) for alpha, share in shares.items()}
        finished = [alpha for alpha in shares if passed[alpha] == len(failures)]
        freed = sum(shares.pop(alpha) for alpha in finished)
        if not finished or not shares:
            break
        shares = {alpha: share + freed / len(shares) for alpha, share in shares.items()}
    certificates: list[Certificate | None] = [None] * len(failures)
    for alpha in sorted(passed, reverse=True):
        for index in range(passed[alpha]):
            certificates[index] = Certificate(risk, alpha, delta, n, failures[index])
    return tuple(certificates)


def _passed(failures: Sequence[int], n: int, alpha: float, delta: float) -> int:
    """How many points from the first on hold at an alpha."""
    return next(
        (index for index, count in enumerate(failures) if not holds(count, n, alpha, delta)), len(failures)
    )
