"""Where the windows of a pool lie over a padded image, and how much of each is image. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidegate.engines.plan.arguments import filled, pair
from tidegate.models.graph import Node
from tidegate.models.network import Shape


def padding_of_windows(
    shape: Shape,
    out: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, int]]:
    """Of height and width: padding in front and behind, so that every window of the result lies within.

    Sizes may be rounded up. `shape` is the input's, with the samples' axis; `out` the result's height and width.
    """
    sides = []
    for old, new, k, s, p, d in zip(shape[2:], out, kernel, stride, padding, dilation, strict=True):
        needed = (new - 1) * s + (k - 1) * d + 1
        sides.append((p, max(0, needed - old - p)))
    return sides


def average_counts(shape: Shape, node: Node) -> npt.NDArray[np.int64]:
    """By how much an average pool divides each sum, (height, width) of the result."""
    _, kernel, stride, padding, _ceil, with_padding, divisor = filled(
        node.args, (None, None, (), 0, False, True, None)
    )
    sizes, pads, out = pair(kernel), pair(padding), node.shape[1:]
    if isinstance(divisor, int):
        return np.full(out, divisor)
    steps = pair(stride) if stride else sizes
    rows, columns = (
        _counted(old, new, k, s, p, with_padding=bool(with_padding))
        for old, new, k, s, p in zip(shape[2:], out, sizes, steps, pads, strict=True)
    )
    return np.outer(rows, columns)


def _counted(
    old: int, new: int, kernel: int, stride: int, padding: int, *, with_padding: bool
) -> npt.NDArray[np.int64]:
    """How many places of a window along one axis count: torch counts what lies within the padded image, or within
    the image."""
    first = np.arange(new) * stride - padding
    end = np.minimum(first + kernel, old + padding)
    if with_padding:
        return end - first
    return np.minimum(end, old) - np.maximum(first, 0)
