"""Whether a model's graph answers as the model does, before anything is sought on it."""

from collections.abc import Callable

import numpy as np

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.sources.source import SourceError
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.network import Network

MOST = 1e-3
"""Of the largest answer: float32 in another order of sums stays far below."""

_RANDOM = 4


def check_agreement(
    network: Network,
    answers: Callable[[Array], Array],
    inputs: Array,
    model: str,
    by: str,
    most: float = MOST,
    *,
    whole: bool = False,
) -> float:
    """The largest difference, as a share of the largest answer, on inputs (n, *input shape) and on random ones.

    Of `whole` inputs the random ones are whole too, and within their limits. Raises SourceError where it is above
    `most`; `by` says whose answers they are.
    """
    rng, shape = np.random.default_rng(0), (_RANDOM, *inputs.shape[1:])
    if whole:
        noise = rng.integers(int(inputs.min()), int(inputs.max()) + 1, shape).astype(np.float64)
    else:
        noise = rng.normal(inputs.mean(), max(float(inputs.std()), 1e-3), shape)
    asked = np.concatenate([inputs, noise.astype(np.float32)])
    expected = answers(asked)
    found = EagerEngine(network).build(KnobSettings()).forward(asked).outputs
    if len(expected) != len(asked):
        raise SourceError(
            f"--model {model}: gives {len(expected)} answers to {len(asked)} inputs; samples must stay along the "
            "first axis"
        )
    expected = expected.reshape(len(asked), -1)
    if expected.shape != found.shape:
        raise SourceError(
            f"--model {model}: its graph gives {found.shape[1]} numbers for an input, {by} {expected.shape[1]}"
        )
    off = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-6))
    if not off <= most:
        raise SourceError(
            f"--model {model}: its graph answers otherwise than {by}: off by {off:.2g} of the largest answer, "
            f"allowed is {most:g}. Where the model was exported for one sample at a time, export it for any "
            "number; else report this as a bug"
        )
    return off
