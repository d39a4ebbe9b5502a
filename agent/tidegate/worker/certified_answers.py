"""Answers to requests that allow less loss than the serving point is certified for: from a dearer point."""

import asyncio
import logging
from collections.abc import Mapping

from tidegate.engines.engine import Array, Engine, UnsupportedPoint, Variant
from tidegate.models.bundle.evidence import Canaries
from tidegate.models.errors import BundleError
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.worker.canary import AGREEMENT_NEEDED, agreement, disagreement_in_words
from tidegate.worker.inference_queue import InferenceQueue, OtherPoint, QueueAnswer
from tidegate.worker.protocol.refusals import BadRequest

log = logging.getLogger(__name__)

SWITCHES = 3
"""The serving point may change while a request waits; more often than this it doesn't."""


class CertifiedAnswers:
    """Holds one more variant beside the serving one, while requests ask for it. One event loop's."""

    def __init__(
        self,
        engine: Engine,
        ladder: Ladder,
        refused: Mapping[str, str],
        canaries: Canaries,
        queue: InferenceQueue,
    ) -> None:
        self._engine = engine
        self._ladder = ladder
        self.refused = refused
        self._canaries = canaries
        self._queue = queue
        self._variant: Variant | None = None
        self._was_used = False
        self._preparing = asyncio.Lock()

    async def infer(self, batch: Array, most_risk: float) -> QueueAnswer:
        """The serving point's answer if it is certified for `most_risk`, else that of the next dearer one that is.

        Raises BadRequest when there is none that answers right here, and QueueFull.
        """

        def allows(point: OperatingPoint) -> bool:
            return point.certified_risk is not None and point.certified_risk <= most_risk

        for _ in range(SWITCHES):
            if allows(self._queue.point):
                try:
                    return await asyncio.wrap_future(self._queue.infer(batch, only=allows))
                except OtherPoint:
                    continue
            variant = await self._prepared(self._next_dearer(most_risk))
            return await asyncio.wrap_future(self._queue.infer(batch, variant=variant))
        raise BadRequest("parameters.max_certified_risk: the operating point changed too often; ask again")

    def after_window(self) -> None:
        """Let the variant go when nobody asked for it in a whole reporting window."""
        if not self._was_used and self._variant is not None:
            self._queue.call(self._variant.release)
            self._variant = None
        self._was_used = False

    def close(self) -> None:
        """Let the variant go; call it once the queue is closed."""
        if self._variant is not None:
            self._variant.release()
            self._variant = None

    def _next_dearer(self, most_risk: float) -> OperatingPoint:
        able = [point for point in self._ladder.points if point.name not in self.refused]
        rung = self._ladder.rung(self._queue.point.name)
        for point in reversed(self._ladder.points[:rung]):
            if point in able and point.certified_risk is not None and point.certified_risk <= most_risk:
                return point
        risks = sorted({point.certified_risk for point in able if point.certified_risk is not None})
        allowed = (
            f"this ladder has {', '.join(f'{each:g}' for each in risks)}" if risks else "this ladder has none"
        )
        raise BadRequest(
            f"parameters.max_certified_risk: found {most_risk:g}, no dearer point is certified for it; {allowed}"
        )

    async def _prepared(self, point: OperatingPoint) -> Variant:
        async with self._preparing:
            self._was_used = True
            if self._variant is not None and self._variant.point.name == point.name:
                return self._variant
            if self._variant is not None:
                self._queue.call(self._variant.release)
                self._variant = None
            try:
                variant = await asyncio.to_thread(self._engine.prepare, point)
            except (UnsupportedPoint, BundleError, OSError) as error:
                raise _not_here(point, str(error)) from None
            agreed = await asyncio.to_thread(agreement, variant, self._canaries)
            if agreed < AGREEMENT_NEEDED:
                reason = disagreement_in_words(variant, agreed)
                variant.release()
                raise _not_here(point, reason)
            self._variant = variant
            return variant


def _not_here(point: OperatingPoint, reason: str) -> BadRequest:
    log.warning("no answer from %s: %s", point.name, reason)
    return BadRequest(f"parameters.max_certified_risk: {point.name} can't answer here: {reason}")
