"""Variants that stay in memory after they were switched away from, so that going back costs nothing."""

import threading
from collections.abc import Callable
from functools import partial

import psutil

from tidegate.engines.engine import Answer, Array, Engine, Variant
from tidegate.models.ladder import OperatingPoint

LEAST_AVAILABLE = 0.1
"""Below this share of the machine's memory nothing is kept: whoever asks for the switch may be short of it."""


def memory_is_short() -> bool:
    """Whether the machine has little memory left."""
    memory = psutil.virtual_memory()
    return memory.available < LEAST_AVAILABLE * memory.total


class ResidentEngine:
    """Lends out variants of another engine and keeps released ones, the latest first, within a budget of bytes."""

    def __init__(self, engine: Engine, budget_bytes: int, is_short: Callable[[], bool] = memory_is_short) -> None:
        self._engine = engine
        self._budget_bytes = budget_bytes
        self._is_short = is_short
        self._kept: dict[str, Variant] = {}
        self._forgotten = 0
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The other engine's."""
        return self._engine.name

    def check(self, point: OperatingPoint) -> None:
        """Raises what the other engine raises."""
        self._engine.check(point)

    def prepare(self, point: OperatingPoint) -> Variant:
        """A kept variant of the point, else a new one. Raises what the other engine raises."""
        with self._lock:
            kept = self._kept.pop(point.name, None)
            if kept is not None and kept.point != point:
                kept.release()
                kept = None
            forgotten = self._forgotten
        return _Lent(kept or self._engine.prepare(point), partial(self._take_back, forgotten))

    def forget(self) -> None:
        """Release what is kept, and what is lent once it comes back: it would be prepared otherwise now."""
        with self._lock:
            self._forgotten += 1
            kept, self._kept = self._kept, {}
        for variant in kept.values():
            variant.release()

    def _take_back(self, forgotten: int, variant: Variant) -> None:
        with self._lock:
            if forgotten != self._forgotten:
                variant.release()
                return
            before = self._kept.pop(variant.point.name, None)
            if before is not None:
                before.release()
            self._kept[variant.point.name] = variant
            budget = 0 if self._is_short() else self._budget_bytes
            for name in list(self._kept):
                if sum(each.weights_resident_bytes for each in self._kept.values()) <= budget:
                    break
                self._kept.pop(name).release()


class _Lent:
    """A variant whose release gives it back."""

    def __init__(self, variant: Variant, give_back: Callable[[Variant], None]) -> None:
        self._variant: Variant | None = variant
        self._point = variant.point
        self._give_back = give_back

    @property
    def point(self) -> OperatingPoint:
        """The operating point it answers at."""
        return self._point

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of weights, 0 after `release`."""
        return 0 if self._variant is None else self._variant.weights_resident_bytes

    def run(self, batch: Array) -> Answer:
        """Answer a batch. Raises RuntimeError after `release`."""
        if self._variant is None:
            raise RuntimeError(f"operating point {self._point.name} was released and can't run")
        return self._variant.run(batch)

    def release(self) -> None:
        """Give the variant back; the second time does nothing."""
        variant, self._variant = self._variant, None
        if variant is not None:
            self._give_back(variant)
