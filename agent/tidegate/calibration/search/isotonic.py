"""Isotonic regression by pooling adjacent violators: the nearest values that never rise. Pure."""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def never_rising(values: Values) -> Values:
    """The least-squares fit to values (n,), each at most the one before it."""
    means: list[float] = []
    counts: list[int] = []
    for value in values:
        mean, count = float(value), 1
        while means and means[-1] < mean:
            mean = (mean * count + means[-1] * counts[-1]) / (count + counts[-1])
            count += counts.pop()
            means.pop()
        means.append(mean)
        counts.append(count)
    return np.repeat(means, counts) if means else np.empty(0)
