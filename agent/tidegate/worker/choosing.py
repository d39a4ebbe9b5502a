"""Which of a ladder's points the engine in this process can run, and at which of them it starts."""

import logging
from collections.abc import Mapping

from tidegate.engines.engine import Engine, UnsupportedPoint
from tidegate.models.ladder import Ladder, OperatingPoint

log = logging.getLogger(__name__)


def refused_points(engine: Engine, ladder: Ladder) -> dict[str, str]:
    """The points that the engine can't run, by name, each with the reason."""
    refused = {}
    for point in ladder.points:
        try:
            engine.check(point)
        except UnsupportedPoint as error:
            refused[point.name] = str(error)
    return refused


def first_point(ladder: Ladder, wanted: str, refused: Mapping[str, str]) -> OperatingPoint:
    """The point wanted, or the full one where that is refused: the next decision finds the way down from there.

    Raises KeyError for a name that is not on the ladder.
    """
    if wanted not in refused:
        return ladder.points[ladder.rung(wanted)]
    log.warning("starting at %s: %s", ladder.full.name, refused[wanted])
    return ladder.full
