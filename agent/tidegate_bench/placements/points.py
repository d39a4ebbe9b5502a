"""The points at which engines are compared: a bundle's own, and some in the arithmetic that every engine has."""

from collections.abc import Sequence
from dataclasses import replace

from tidegate.engines.engine import REFERENCE
from tidegate.engines.runtime.runtimes import FORMS
from tidegate.models.bundle import Bundle
from tidegate.models.ladder import Ladder, OperatingPoint, Precision

_MARK = "-for-all"
_LEFT_OUT = 3
"""Skippable blocks, from the end, that one of the points does without."""


def with_points_for_all(bundle: Bundle) -> Bundle:
    """The bundle with further points, none of them certified: full in 8 and 4 bits, and without some blocks."""
    full = bundle.ladder.full
    plain = OperatingPoint(f"fp32{_MARK}", REFERENCE, full.figures)
    blocks = [segment.name for segment in bundle.segments if segment.skippable]
    more = [
        replace(plain, name=f"{precision}{_MARK}", precision=precision)
        for precision in (Precision.INT8, Precision.INT4)
    ]
    shorter = replace(plain, name=f"skip{_MARK}", skip=frozenset(blocks[-_LEFT_OUT:]))
    return replace(bundle, ladder=Ladder((*bundle.ladder.points, *more, shorter)))


def points_of(bundle: Bundle, engine: str) -> Sequence[OperatingPoint]:
    """Those in an engine's own arithmetic or in everybody's."""
    own = {REFERENCE, FORMS.get(engine, engine)}
    return [point for point in bundle.ladder.points if point.engine in own]
