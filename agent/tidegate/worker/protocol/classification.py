"""Triton's classification extension: the best classes of each sample as text in place of the values."""

import numpy as np

from tidegate.engines.engine import Array


def best_classes(outputs: Array, classes: int, labels: tuple[str, ...]) -> list[list[str]]:
    """For each sample its `classes` best, best first, as `value:index:label`; equal ones in their order."""
    order = np.argsort(-outputs, axis=1, kind="stable")[:, :classes]
    return [
        [f"{row[index]:f}:{index}:{labels[index]}" for index in best]
        for row, best in zip(outputs.tolist(), order.tolist(), strict=True)
    ]
