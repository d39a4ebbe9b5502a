"""Shadow runs: the full model answers a share of the requests too, and nobody sees it but the drift guard."""

import logging
import random
from collections.abc import Callable
from concurrent.futures import Future

from tidegate.engines.engine import Array, Engine, UnsupportedPoint, Variant
from tidegate.engines.runtime.placement_watch import PlacementWatch
from tidegate.messages import ShadowCount
from tidegate.models.comparing import differ
from tidegate.models.ladder import Compared, Comparison, OperatingPoint
from tidegate.worker.footage import HTTP, KeptFootage
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
        watch: PlacementWatch | None = None,
        footage: KeptFootage | None = None,
    ) -> None:
        """Answers are held against each other by the `comparison` that the ladder was certified with.

        `engine` runs the full point. `watch` compares answers of another unit than the CPU with the CPU's too.
        `footage` is shown every input, and those that are answered apart.
        """
        self._engine = engine
        self._full = full
        self._comparison = comparison
        self._queue = queue
        self._chance = chance
        self._variant: Variant | None = None
        self._counts: dict[str, tuple[int, int]] = {}
        self._said_blind = False
        self._watch = watch
        self.footage = footage

    def consider(
        self, batch: Array, answered: QueueAnswer, share: float, source: str = HTTP
    ) -> "Future[None] | None":
        """Compare this answer with the full model's, for `share` of the answers; gives what was queued, if so.

        `source` is where the inputs came from.
        """
        if self.footage is not None:
            self.footage.note(batch, source)
        if answered.point.name == self._full.name and not self._watches(answered):
            return None
        if share > 0.0 and self._comparison.kind is Compared.OWN:
            self._say_blind()
            return None
        if share <= 0.0:
            return self._queue.call(self._release) if self._variant is not None else None
        return self._queue.call(lambda: self._compare(batch, answered, source)) if self._chance() < share else None

    def take(self) -> tuple[ShadowCount, ...]:
        """What was counted since the last call."""
        counts, self._counts = self._counts, {}
        return tuple(ShadowCount(point, seen, disagreed) for point, (seen, disagreed) in counts.items())

    def close(self) -> None:
        """Let the full model go, and write what is kept and is not on the disk yet; may wait for it.

        Call it once the queue is closed.
        """
        self._release()
        if self.footage is not None:
            self.footage.close()

    def _watches(self, answered: QueueAnswer) -> bool:
        return self._watch is not None and self._watch.watches(answered.answer.engine)

    def _compare(self, batch: Array, answered: QueueAnswer, source: str) -> None:
        if self._watch is not None:
            self._watch.compare(batch, answered.point, answered.answer)
        if answered.point.name == self._full.name:
            return
        try:
            if self._variant is None:
                engine = self._engine if self._watch is None else self._watch.on_cpu(self._engine, self._full)
                self._variant = engine.prepare(self._full)
            outputs = self._variant.run(batch).outputs
        except UnsupportedPoint as error:
            log.warning("no shadow runs: %s", error)
            return
        differs = differ(self._comparison, outputs, answered.answer.outputs)
        apart = int(differs.sum())
        if self.footage is not None and apart:
            self.footage.disagreed(batch, differs, answered.point.name, source)
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
        if self._watch is not None:
            self._watch.release()
        if self._variant is not None:
            self._variant.release()
            self._variant = None
