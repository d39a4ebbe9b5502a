"""Which of a ladder's points the engine in this process can run, and which of them is the first to answer."""

import logging
from collections.abc import Mapping

from tidegate.engines.engine import Engine, UnsupportedPoint, Variant
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.models.bundle.evidence import Canaries
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.worker.canary import AGREEMENT_NEEDED, agreement, disagreement_in_words

log = logging.getLogger(__name__)


class NoRightAnswer(TidegateError):  # noqa: N818 - reads as what it is at the call site
    """No point of the ladder answers the canaries as recorded."""

    exit_code = EX_UNAVAILABLE


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


def first_variant(
    engine: Engine, ladder: Ladder, canaries: Canaries, wanted: str, refused: Mapping[str, str]
) -> Variant:
    """The variant of `first_point`, or of the first point after it, from full on, that answers the canaries right.

    Raises NoRightAnswer, and UnsupportedPoint when even the full point can't be prepared.
    """
    first = first_point(ladder, wanted, refused)
    others = [point for point in ladder.points if point != first and point.name not in refused]
    wrong = []
    for point in (first, *others):
        variant = engine.prepare(point)
        agreed = agreement(variant, canaries)
        if agreed >= AGREEMENT_NEEDED:
            return variant
        variant.release()
        wrong.append(disagreement_in_words(variant, agreed))
        log.error("not starting there: %s", wrong[-1])
    raise NoRightAnswer(
        f"engine {engine.name}: no operating point answers right here ({'; '.join(wrong)}); try another"
        " `worker.engine`, or build the bundle on a device like this one"
    )
