"""The drift guard's test: whether a point disagrees with the full model more than its certificate allows.

A bet against the certificate (`tidegate.models.bet`).
"""

from dataclasses import dataclass

from tidegate.models.bet import START, after, refuted
from tidegate.models.ladder import OperatingPoint

DELTA = 0.01
"""How likely a point within its bound is ever demoted by chance."""


@dataclass(frozen=True, slots=True)
class DriftTest:
    """What shadow runs have shown of one point: `wealths` are logarithms, one per stake."""

    bound: float
    seen: int = 0
    disagreed: int = 0
    wealths: tuple[float, ...] = START

    @classmethod
    def of(cls, point: OperatingPoint) -> "DriftTest | None":
        """The test of a point's certificate; None for a point without one, which promises nothing.

        A bound on newly wrong answers allows the disagreements besides that were found harmless at calibration:
        without labels, which of the two are wrong is not known.
        """
        certificate = point.certificate
        if certificate is None:
            return None
        return cls(certificate.alpha + certificate.harmless(point.figures))

    def observe(self, seen: int, disagreed: int) -> "DriftTest":
        """After so many more shadow runs; their order within the count does not matter."""
        if not 0 <= disagreed <= seen:
            raise ValueError(f"{disagreed} disagreements in {seen} runs")
        wealths = after(self.wealths, self.bound, seen, disagreed)
        return DriftTest(self.bound, self.seen + seen, self.disagreed + disagreed, wealths)

    @property
    def exceeded(self) -> bool:
        """Whether the certificate is refuted at confidence 1 - DELTA."""
        if self.bound <= 0.0:
            return self.disagreed > 0
        return refuted(self.wealths, DELTA)

    @property
    def in_words(self) -> str:
        """What was seen, for events: `disagreed with the full model on 31 of 400, allowed are 1.5 %`."""
        apart = f"disagreed with the full model on {self.disagreed} of {self.seen}"
        return f"{apart}, allowed are {self.bound * 100:.3g} %"
