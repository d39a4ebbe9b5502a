"""The drift guard's test: whether a point disagrees with the full model more than its certificate allows.

A bet against the certificate: wealth starts at 1 and, were the disagreement within the bound, could hardly ever
reach 1 / delta, however often one looks (Ville's inequality; Waudby-Smith and Ramdas, arXiv:2010.09686). Several
stakes are played side by side and averaged, since how far a point has drifted is not known beforehand.
"""

import math
from dataclasses import dataclass

from tidegate.models.ladder import OperatingPoint, Risk

DELTA = 0.01
"""How likely a point within its bound is ever demoted by chance."""
_DRIFTS = (1.5, 2.0, 4.0, 8.0)
"""The multiples of the bound that the stakes are best against."""
_NO_BOUND = 0.999


@dataclass(frozen=True, slots=True)
class DriftTest:
    """What shadow runs have shown of one point: `wealths` are logarithms, one per stake."""

    bound: float
    seen: int = 0
    disagreed: int = 0
    wealths: tuple[float, ...] = (0.0,) * len(_DRIFTS)

    @classmethod
    def of(cls, point: OperatingPoint) -> "DriftTest | None":
        """The test of a point's certificate; None for a point without one, which promises nothing.

        A bound on newly wrong answers allows the disagreements besides that were found harmless at calibration:
        without labels, which of the two are wrong is not known.
        """
        certificate = point.certificate
        if certificate is None:
            return None
        harmless = 0.0
        if certificate.risk is Risk.NEWLY_WRONG and point.figures.newly_wrong is not None:
            harmless = max(0.0, point.figures.disagreement - point.figures.newly_wrong)
        return cls(certificate.alpha + harmless)

    def observe(self, seen: int, disagreed: int) -> "DriftTest":
        """After so many more shadow runs; their order within the count does not matter."""
        if not 0 <= disagreed <= seen:
            raise ValueError(f"{disagreed} disagreements in {seen} runs")
        if not 0.0 < self.bound < _NO_BOUND:
            return DriftTest(self.bound, self.seen + seen, self.disagreed + disagreed, self.wealths)
        wealths = []
        for wealth, multiple in zip(self.wealths, _DRIFTS, strict=True):
            # The likelihood ratio of this drift against the bound itself: a fair bet at the bound.
            drifted = min(_NO_BOUND, self.bound * multiple)
            agreed = seen - disagreed
            gain = disagreed * math.log(drifted / self.bound)
            gain += agreed * math.log((1.0 - drifted) / (1.0 - self.bound))
            wealths.append(wealth + gain)
        return DriftTest(self.bound, self.seen + seen, self.disagreed + disagreed, tuple(wealths))

    @property
    def exceeded(self) -> bool:
        """Whether the certificate is refuted at confidence 1 - DELTA."""
        if self.bound <= 0.0:
            return self.disagreed > 0
        highest = max(self.wealths)
        mean = highest + math.log(sum(math.exp(each - highest) for each in self.wealths) / len(self.wealths))
        return mean >= -math.log(DELTA)

    @property
    def in_words(self) -> str:
        """What was seen, for events: `disagreed with the full model on 31 of 400, allowed are 1.5 %`."""
        apart = f"disagreed with the full model on {self.disagreed} of {self.seen}"
        return f"{apart}, allowed are {self.bound * 100:.3g} %"
