"""Processor time of points on the same inputs at batch 1, in turns, so that other load hits all alike."""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array, Variant

ROUNDS = 20

TURN_S = 0.01
"""Of the slowest point's turn, at least: a thread's clock is read in microseconds."""

FEWEST_INPUTS = 4
"""Of a turn: which of them leave early differs from input to input."""

Times = npt.NDArray[np.float64]


def turn_times_ms(variants: Sequence[Variant], inputs: Array, rounds: int = ROUNDS) -> Times:
    """Milliseconds per input, (variants, rounds): in a round all run the same of `inputs` (n, *input shape)."""
    slowest_s = max(_cpu_s(variant, inputs, 0, 2) / 2 for variant in variants)
    count = max(FEWEST_INPUTS, round(TURN_S / max(slowest_s, 1e-6)))
    times = np.empty((len(variants), rounds))
    for turn in range(rounds):
        for index, variant in enumerate(variants):
            times[index, turn] = _cpu_s(variant, inputs, turn * count, count) * 1e3 / count
    return times


def cpu_times_ms(variants: Sequence[Variant], inputs: Array, rounds: int = ROUNDS) -> tuple[float, ...]:
    """Milliseconds per input of variants that do the same for every input: the quietest of their turns."""
    return tuple(map(float, turn_times_ms(variants, inputs, rounds).min(axis=1)))


def _cpu_s(variant: Variant, inputs: Array, first: int, count: int) -> float:
    start = time.process_time()
    for index in range(first, first + count):
        variant.run(inputs[index % len(inputs)][None])
    return time.process_time() - start
