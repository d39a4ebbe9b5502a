"""Millijoules of one inference, by a meter that somebody reads while the model runs; idle power is part of it."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tidegate.engines.engine import Array, Variant

ROUNDS = 2


class Meter(Protocol):
    """A meter of the device; `tidegate_drivers.energy_meter` finds those that there are."""

    @property
    def source(self) -> str: ...

    @property
    def least_s(self) -> float:
        """How long work must last to be measured."""

    def spent_j(self, work: Callable[[], object]) -> float | None:
        """Joules that the device draws while `work` runs; None when they are not known."""


def measure_energy(variants: Sequence[Variant], inputs: Array, meter: Meter) -> tuple[float | None, ...]:
    """Of each point, one input after the other without a pause; in turns, so that warming up hits all alike."""
    spent = [[inference_mj(variant.run, inputs, meter) for variant in variants] for _ in range(ROUNDS)]
    return tuple(_mean(values) for values in zip(*spent, strict=True))


def inference_mj(run: Callable[[Array], object], inputs: Array, meter: Meter) -> float | None:
    """Of one inference at batch 1, over as many as the meter needs; None when the meter gives nothing."""
    done = 0

    def work() -> None:
        nonlocal done
        until = time.monotonic() + meter.least_s
        for index in itertools.cycle(range(len(inputs))):
            run(inputs[index][None])
            done += 1
            if time.monotonic() >= until:
                return

    spent = meter.spent_j(work)
    return None if spent is None else spent / done * 1e3


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
