"""A setting of the knobs as an operating point that an engine can prepare before anything was measured of it."""

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import REFERENCE
from tidegate.models.ladder import Certificate, Figures, OperatingPoint, Precision, Ranges

UNMEASURED = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 0)
"""In the place of figures while there are none; no candidate goes into a ladder with it."""


def candidate(
    setting: KnobSettings,
    engine: str,
    name: str = "candidate",
    figures: Figures = UNMEASURED,
    certificate: Certificate | None = None,
) -> OperatingPoint:
    """The point. Whatever the engine, a setting all in fp32 has eager's arithmetic, and says so."""
    return OperatingPoint(
        name=name,
        engine=engine if has_reduced_precision(setting) else REFERENCE,
        figures=figures,
        certificate=certificate,
        thresholds=setting.thresholds,
        skip=setting.skip,
        precision=setting.precision,
        layer_precision=setting.layer_precision,
        activations=setting.activations,
        resolution=setting.resolution,
        threads=setting.threads,
        stand_ins=setting.stand_ins,
        exits=setting.exits,
        activity=setting.activity,
        ranges=_within_graphs(setting),
    )


def has_reduced_precision(setting: KnobSettings) -> bool:
    """Whether anything computes in less than fp32, so that engines differ in what they make of it."""
    return bool({setting.precision, *setting.layer_precision.values()} - {Precision.FP32})


def _within_graphs(setting: KnobSettings) -> Ranges:
    return setting.ranges if has_reduced_precision(setting) else {}
