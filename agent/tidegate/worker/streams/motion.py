"""Whether anything moves: frames are held against the last one that was answered, cell by cell. Pure."""

import numpy as np
import numpy.typing as npt

from tidegate.worker.streams.frame import Values

CELLS = 16
"""A side. Noise of single pixels is gone in their means; somebody who crosses the picture fills a few of them."""

Pooled = npt.NDArray[np.float32]


def pooled(values: Values) -> Pooled:
    """Means over channels and cells of (channels, height, width); what does not fill a cell is left out."""
    _, height, width = values.shape
    rows, columns = min(CELLS, height), min(CELLS, width)
    tall, wide = height // rows, width // columns
    cells = values[:, : rows * tall, : columns * wide].reshape(-1, rows, tall, columns, wide)
    return np.asarray(cells.mean((0, 2, 4), dtype=np.float32))


def change(one: Pooled, other: Pooled) -> float:
    """By how much the cell changed that changed most, in the values' own unit."""
    return float(np.abs(one - other).max())


class MotionGate:
    """Lets a frame pass whose most changed cell changed by more than `threshold`, a share of the full scale.

    It changed since the last frame that passed, so that what changes slowly passes too, in time.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._passed: Pooled | None = None

    def passes(self, values: Values) -> bool:
        """Whether this one does; the first one does."""
        now, full_scale = pooled(values), 255.0 if values.dtype == np.uint8 else 1.0
        if self._passed is not None and change(now, self._passed) <= self._threshold * full_scale:
            return False
        self._passed = now
        return True
