"""What a target other than memory bounds: latency and energy of one inference, measured on this device."""

import itertools
import time
from collections.abc import Callable

import numpy as np
import torch

from agent.calibration.adaptive import Cost
from agent.calibration.adaptive_knobs import Choice
from agent.engines.eager import EagerEngine
from agent.engines.engine import Array
from agent.engines.staged import StagedNetwork
from agent.engines.tracing import Trace

ROUNDS = 40
WARM_UP_ROUNDS = 5
ENERGY_SECONDS = 1.0
"""Counters move about every millisecond and cover the whole package: a second averages over both."""


class NotMeasurable(Exception):  # noqa: N818 - reads as what it is at the call site
    """This device gives no value for the cost; the message says why."""


def latency_cost(engine: EagerEngine, inputs: Array) -> Cost:
    """Median milliseconds of one input at batch 1. Sets torch's thread count for this process."""

    def cost(choice: Choice, _trace: Trace) -> float:
        network = _ready(engine, choice)
        times_ms = np.empty(ROUNDS)
        for turn in range(-WARM_UP_ROUNDS, ROUNDS):
            start = time.perf_counter()
            network.forward(inputs[turn % len(inputs)][None])
            if turn >= 0:
                times_ms[turn] = (time.perf_counter() - start) * 1e3
        return float(np.median(times_ms))

    return cost


def energy_cost(
    engine: EagerEngine, inputs: Array, spent_j: Callable[[Callable[[], object]], float | None]
) -> Cost:
    """Millijoules of one inference: `spent_j` gives the joules spent while a function runs, idle power included.

    The cost raises NotMeasurable when the counter gives nothing. Sets torch's thread count for this process.
    """

    def cost(choice: Choice, _trace: Trace) -> float:
        network = _ready(engine, choice)
        done = 0

        def work() -> None:
            nonlocal done
            until = time.monotonic() + ENERGY_SECONDS
            for index in itertools.cycle(range(len(inputs))):
                network.forward(inputs[index][None])
                done += 1
                if time.monotonic() >= until:
                    return

        spent = spent_j(work)
        if spent is None:
            raise NotMeasurable("the energy counter gave no value while the model ran")
        return spent / done * 1e3

    return cost


def _ready(engine: EagerEngine, choice: Choice) -> StagedNetwork:
    torch.set_num_threads(choice.threads)
    return engine.build(choice.setting)
