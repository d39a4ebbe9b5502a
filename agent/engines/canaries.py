"""Canaries through the engine: whether every operating point still answers as it did at calibration."""

from collections.abc import Mapping

from agent.engines.catalog import open_engine
from agent.models.bundle import Bundle


def canary_agreements(bundle: Bundle) -> Mapping[str, float]:
    """Per operating point, the share of canaries answered as recorded. Raises UnknownEngine, UnsupportedPoint."""
    canaries = bundle.canaries()
    agreements = {}
    for point in bundle.ladder.points:
        variant = open_engine(point.engine, bundle).prepare(point)
        agreements[point.name] = canaries.agreement(point.name, variant.run(canaries.inputs).outputs)
        variant.release()
    return agreements
