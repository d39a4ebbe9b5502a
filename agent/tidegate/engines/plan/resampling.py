"""Resampling of images as torch does it: which old rows and columns make up each new one. Pure."""

import numpy as np
import numpy.typing as npt

from tidegate.engines.plan.arguments import number
from tidegate.models.graph import Node
from tidegate.models.network import Shape

Shares = npt.NDArray[np.float64]
"""(new, old): the shares of old places in each new one."""


def even_shares(old: int, new: int) -> Shares:
    """(new, old): place i is the mean of the old ones from floor(i old / new) to ceil((i + 1) old / new)."""
    places, index = np.arange(old), np.arange(new)[:, None]
    inside = (places >= index * old // new) & (places < -(-(index + 1) * old // new))
    shares: Shares = inside / inside.sum(1, keepdims=True)
    return shares


def linear_shares(old: int, new: int, step: float, *, corners: bool) -> Shares:
    """(new, old): each new place between its two neighbours, as torch places them."""
    index = np.arange(new)
    if corners:
        at = index * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        at = np.maximum(0.0, (index + 0.5) * step - 0.5)
    low = np.minimum(np.floor(at).astype(np.int64), old - 1)
    high = np.minimum(low + 1, old - 1)
    share = at - low
    shares = np.zeros((new, old))
    np.add.at(shares, (index, low), 1 - share)
    np.add.at(shares, (index, high), share)
    return shares


def nearest_places(old: int, new: int, step: float) -> npt.NDArray[np.int32]:
    """The old place that each new one shows, by torch's own indices, in float32 as there."""
    stride = 0.5 if new == 2 * old else step
    found: npt.NDArray[np.float32] = np.floor(np.arange(new, dtype=np.float32) * np.float32(stride))
    return np.minimum(found, old - 1).astype(np.int32)


def steps_of(shape: Shape, node: Node) -> list[tuple[int, int, float]]:
    """Of height and width: old size, new size, and how far apart in the old image two new neighbours lie.

    By the factors, where those were given, but where a size stays torch copies, whatever the factor (ATen's
    UpSample.h). `shape` is the input's, with the samples' axis.
    """
    wanted, factors = node.args[1], node.args[-1]
    sizes = list(zip(shape[2:], node.shape[1:], strict=True))
    if wanted is None and isinstance(factors, tuple):
        return [
            (old, new, 1.0 if old == new else 1 / number(each))
            for (old, new), each in zip(sizes, factors, strict=True)
        ]
    return [(old, new, old / new) for old, new in sizes]
