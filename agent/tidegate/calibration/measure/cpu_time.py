"""Processor time of points on the same inputs at batch 1, in turns, so that other load hits all alike.

It is the mean of two loads: answers without a pause, and answers that find the processor's caches without anything
of the point, as one does that is asked a few times a second. There an exit costs several times as much, and what
it spares less: exits that were chosen by the first load alone cost time at the second.
"""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import Array, Variant

ROUNDS = 20

TURN_S = 0.01
"""Of the slowest point's turn, at least: a thread's clock is read in microseconds."""

FEWEST_INPUTS = 4
"""Of a turn, and with cold caches: which of them leave early differs from input to input."""

SWEPT_BYTES = 48 * 2**20
"""Written before an answer, which takes a millisecond: more than a processor's caches hold. On an EPYC an answer
took .11 to .31 ms more at 10 a second than without a pause, and three quarters of that more behind this."""

Times = npt.NDArray[np.float64]


def turn_times_ms(
    variants: Sequence[Variant], inputs: Array, rounds: int = ROUNDS, cold_inputs: int = FEWEST_INPUTS
) -> Times:
    """Milliseconds per input, (variants, rounds): in a round all run the same of `inputs` (n, *input shape).

    `cold_inputs` of them are answered with cold caches too; 0: the first load alone.
    """
    warm, cold = _both(variants, inputs, rounds, cold_inputs)
    return (warm + cold) / 2 if cold_inputs else warm


def cpu_times_ms(
    variants: Sequence[Variant], inputs: Array, rounds: int = ROUNDS, cold_inputs: int = 1
) -> tuple[float, ...]:
    """Milliseconds per input of variants that do the same for every input: the quietest of their turns, and with
    cold caches, which are never quiet, the middle one."""
    warm, cold = _both(variants, inputs, rounds, cold_inputs)
    times = (warm.min(axis=1) + np.median(cold, axis=1)) / 2 if cold_inputs else warm.min(axis=1)
    return tuple(map(float, times))


def _both(variants: Sequence[Variant], inputs: Array, rounds: int, cold_inputs: int) -> tuple[Times, Times]:
    """Of either load, (variants, rounds)."""
    slowest_s = max(_cpu_s(variant, inputs, 0, 2) / 2 for variant in variants)
    count = max(FEWEST_INPUTS, round(TURN_S / max(slowest_s, 1e-6)))
    warm, cold = np.empty((len(variants), rounds)), np.zeros((len(variants), rounds))
    swept = np.zeros(SWEPT_BYTES // 8 if cold_inputs else 0, np.int64)
    for turn in range(rounds):
        for index, variant in enumerate(variants):
            warm[index, turn] = _cpu_s(variant, inputs, turn * count, count) * 1e3 / count
            for each in range(turn * cold_inputs, (turn + 1) * cold_inputs):
                swept += 1
                cold[index, turn] += _cpu_s(variant, inputs, each, 1) * 1e3 / cold_inputs
    return warm, cold


def _cpu_s(variant: Variant, inputs: Array, first: int, count: int) -> float:
    start = time.process_time()
    for index in range(first, first + count):
        variant.run(inputs[index % len(inputs)][None])
    return time.process_time() - start
