"""Whether a variant answers the bundle's canaries as they were answered at calibration."""

from tidegate.engines.engine import Variant
from tidegate.models.bundle.evidence import Canaries

AGREEMENT_NEEDED = 1.0
"""On the engine that recorded them, canaries come out the same."""


def agreement(variant: Variant, canaries: Canaries) -> float:
    """Share of the canaries that the variant answers as recorded for its point."""
    return canaries.agreement(variant.point.name, variant.run(canaries.inputs).outputs)


def disagreement_in_words(variant: Variant, agreed: float) -> str:
    """What is wrong with a variant that agrees on too few."""
    return f"{variant.point.name} answered {agreed:.0%} of the canaries as recorded, all are needed"
