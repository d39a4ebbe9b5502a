"""What a target other than memory bounds: latency and energy of one inference, measured on this device."""

import time

import numpy as np
import torch

from tidegate.calibration.measure.energy import Meter, inference_mj
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.staged import StagedNetwork
from tidegate.engines.reference.tracing import Trace
from tidegate_bench.adaptive_activation.knobs import Choice
from tidegate_bench.adaptive_activation.problem import Cost

ROUNDS = 40
WARM_UP_ROUNDS = 5


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


def energy_cost(engine: EagerEngine, inputs: Array, meter: Meter) -> Cost:
    """Millijoules of one inference at batch 1, idle power included.

    The cost raises NotMeasurable when the meter gives nothing. Sets torch's thread count for this process.
    """

    def cost(choice: Choice, _trace: Trace) -> float:
        spent = inference_mj(_ready(engine, choice).forward, inputs, meter)
        if spent is None:
            raise NotMeasurable(f"{meter.source} gave no value while the model ran")
        return spent

    return cost


def _ready(engine: EagerEngine, choice: Choice) -> StagedNetwork:
    torch.set_num_threads(choice.threads)
    return engine.build(choice.setting)
