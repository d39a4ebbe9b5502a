"""Shadow runs: the full model answers a share of the requests too, and nobody sees it but the drift guard."""

import logging
import random
from collections.abc import Callable
from concurrent.futures import Future

from tidegate.engines.engine import Array, Engine, UnsupportedPoint, Variant
from tidegate.messages import ShadowCount
from tidegate.models.comparing import differ
from tidegate.models.ladder import Compared, Comparison, OperatingPoint
from tidegate.worker.inference_queue import InferenceQueue, QueueAnswer

log = logging.getLogger(__name__)


class Shadow:
    """Runs in the queue after the reply has its answer: shadowed requests cost the next one time, not this one."""

    def __init__(
        self,
        engine: Engine,
        full: OperatingPoint,
        comparison: Comparison,
        queue: InferenceQueue,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Answers are held against each other by the `comparison` that the ladder was certified with."""
        self._engine = engine
        self._full = full
        self._comparison = comparison
        self._queue = queue
        self._chance = chance
        self._variant: Variant | None = None
        self._counts: dict[str, tuple[int, int]] = {}
        self._said_blind = False

    def consider(self, batch: Array, answered: QueueAnswer, share: float) -> "Future[None] | None":
        """Compare this answer with the full model's, for `share` of the answers; gives what was queued, if so."""
        if answered.point.name == self._full.name:
            return None
        if share > 0.0 and self._comparison.kind is Compared.OWN:
            self._say_blind()
            return None
        if share <= 0.0:
            return self._queue.call(self._release) if self._variant is not None else None
        return self._queue.call(lambda: self._compare(batch, answered)) if self._chance() < share else None

    def take(self) -> tuple[ShadowCount, ...]:
        """What was counted since the last call."""
        counts, self._counts = self._counts, {}
        return tuple(ShadowCount(point, seen, disagreed) for point, (seen, disagreed) in counts.items())

    def _compare(self, batch: Array, answered: QueueAnswer) -> None:
        try:
            if self._variant is None:
                self._variant = self._engine.prepare(self._full)
            outputs = self._variant.run(batch).outputs
        except UnsupportedPoint as error:
            log.warning("no shadow runs: %s", error)
            return
        apart = int(differ(self._comparison, outputs, answered.answer.outputs).sum())
        seen, disagreed = self._counts.get(answered.point.name, (0, 0))
        self._counts[answered.point.name] = (seen + len(outputs), disagreed + apart)

    def _say_blind(self) -> None:
        if not self._said_blind:
            log.warning(
                "no shadow runs: this ladder was certified by a function of the user's own, which no bundle has; "
                "the drift guard sees nothing"
            )
            self._said_blind = True

    def _release(self) -> None:
        if self._variant is not None:
            self._variant.release()
            self._variant = None
