"""While it serves: whether a compute unit still answers as the CPU does, on requests that are run on both."""

import logging
from dataclasses import dataclass

from tidegate.engines.engine import Answer, Array, Engine, UnsupportedPoint, Variant
from tidegate.engines.runtime.agreement import answered_apart, tolerance_of
from tidegate.engines.runtime.auto import AutoEngine
from tidegate.engines.runtime.placement import CPU, unit_of
from tidegate.models.bet import START, after, refuted
from tidegate.models.ladder import Comparison, OperatingPoint

log = logging.getLogger(__name__)

ALLOWED = 0.01
"""The share of requests that may be answered apart from the CPU: a gate's score at its threshold is rarer. The few
samples of a trial can't certify as little; these runs add up."""

DELTA = 0.01
"""How likely a unit within ALLOWED is ever dropped by chance."""


@dataclass(frozen=True, slots=True)
class _Count:
    seen: int = 0
    apart: int = 0
    wealths: tuple[float, ...] = START


class PlacementWatch:
    """Counts answers apart from the CPU by engine, and drops one whose share is above what was certified.

    Engines on the CPU are not watched: comparing two would load the runtime that `auto` chose to do without.
    """

    def __init__(self, auto: AutoEngine, comparison: Comparison) -> None:
        self._auto = auto
        self._comparison = comparison
        self._counts: dict[str, _Count] = {}
        self._variant: Variant | None = None

    def watches(self, engine: str | None) -> bool:
        """Whether an engine answers on another unit than the CPU."""
        return engine is not None and unit_of(engine) != CPU

    def on_cpu(self, engine: Engine, point: OperatingPoint) -> Engine:
        """What answers a point on the CPU: `engine`, over `auto`, unless that leaves it to another unit now."""
        return self._auto.on_cpu() if self.watches(self._auto.engine_of(point)) else engine

    def compare(self, batch: Array, point: OperatingPoint, answer: Answer) -> None:
        """Run a batch at its point on the CPU as well and count; nothing where no engine of the CPU can.

        What is found is held against the engine that gave the answer, whichever has the point by now.
        """
        name = answer.engine
        if name is None or not self.watches(name):
            return
        try:
            if self._variant is None or self._variant.point != point:
                self.release()
                self._variant = self._auto.on_cpu().prepare(point)
        except UnsupportedPoint as error:
            log.debug("not compared with the CPU: %s", error)
            return
        on_cpu = self._variant.run(batch).outputs
        apart = int(answered_apart(self._comparison, on_cpu, answer.outputs, tolerance_of(name)).sum())
        before = self._counts.get(name, _Count())
        wealths = after(before.wealths, ALLOWED, len(batch), apart)
        count = _Count(before.seen + len(batch), before.apart + apart, wealths)
        self._counts[name] = count
        if refuted(wealths, DELTA):
            self._auto.drop(
                name,
                f"answered {count.apart} of {count.seen} requests apart from the CPU, allowed are {ALLOWED:.0%}",
            )

    def release(self) -> None:
        """Give the CPU's variant back."""
        if self._variant is not None:
            self._variant.release()
            self._variant = None
