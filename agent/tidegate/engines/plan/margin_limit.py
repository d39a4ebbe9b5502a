"""Margins compared as Python numbers, as they are in float32 arrays. Pure."""

import math

import numpy as np


def margin_limit(leave_above: float) -> float:
    """What a difference of two probabilities exceeds as a Python number where in float32 it exceeds `leave_above`.

    Margins near 1 are so close that it matters: a batch and a sample of its own must leave at the same exit.
    """
    limit = np.float32(leave_above)
    if not np.isfinite(limit):
        return float(limit)
    middle = (float(limit) + float(np.nextafter(limit, np.float32(np.inf)))) / 2
    return middle if np.float32(middle) <= limit else math.nextafter(middle, -math.inf)
