"""Resizing images without torch: bilinear with antialiasing, the same as `reference.resolution.resized`."""

from functools import cache

import numpy as np

from tidegate.engines.engine import Array


def resized(images: Array, resolution: tuple[int, int]) -> Array:
    """(samples, channels, height, width) at another height and width, float32."""
    height, width = resolution
    if images.shape[2:] == resolution:
        return images
    rows, columns = _weights(images.shape[2], height), _weights(images.shape[3], width)
    smaller: Array = rows @ (images @ columns.T)
    return smaller


@cache
def _weights(given: int, wanted: int) -> Array:
    """(wanted, given): each new pixel's shares of the old ones, a triangle as wide as the larger of the two."""
    scale = given / wanted
    reach = max(scale, 1.0)
    centers = scale * (np.arange(wanted) + 0.5)
    first = np.maximum((centers - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + reach + 0.5).astype(np.int64), given)
    pixels = np.arange(given)
    heights = np.maximum(0, 1 - np.abs((pixels + 0.5 - centers[:, None]) / reach))
    inside = (pixels >= first[:, None]) & (pixels < last[:, None])
    shares = np.where(inside, heights, 0)
    normal: Array = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    return normal
