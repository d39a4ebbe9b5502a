"""Scikit-learn's scanned digits (1,797 images of 8x8, values 0..16), split once."""

import numpy as np
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # scikit-learn ships no types

from tidegate.calibration.data.split import Split, split_data

SIZES = (700, 297, 600, 200)
"""Train, search, certify, report. 600 to certify: 1 % at a quarter of delta 5 % needs 437, without one failure."""

SCALE = 1 / 16
"""Raw value times this is the model's input."""

LABELS = tuple(str(digit) for digit in range(10))


def load_split(seed: int, sizes: tuple[int, int, int, int] = SIZES) -> Split:
    """All digits as (n, 1, 8, 8) uint8 with labels 0..9, cut by `seed`. Reads files that scikit-learn installs."""
    images, labels = load_digits(return_X_y=True)
    inputs = images.reshape(-1, 1, 8, 8).astype(np.uint8)
    return split_data("scikit-learn load_digits", inputs, labels.astype(np.int64), sizes, seed)
