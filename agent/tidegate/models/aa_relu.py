"""AA-ReLU on tensors: what `Activation` does to an activation tensor, and the integers that it is stored as."""

import math

import torch
from torch import Tensor

from tidegate.models.ladder import Activation


def adapted(values: Tensor, setting: Activation, floor: float | None) -> Tensor:
    """The values after threshold, clip and rounding; any shape, float32.

    `values` are the activation function's own outputs and `floor` the least it can give (0 for ReLU, None: no
    bound). Threshold 0, an infinite clip and no bits give the very same bits back.
    """
    kept = torch.where(values.abs() < setting.threshold, 0.0, values)
    kept = kept.clamp(-setting.clip, setting.clip)
    if setting.bits is None:
        return kept
    grid = Grid.of(setting, floor)
    return grid.codes(kept) * grid.step


class Grid:
    """The evenly spaced values of one `Activation` with bits; zero is one of them, so that zeros stay zeros."""

    def __init__(self, step: float, lowest: int, highest: int) -> None:
        self.step = step
        self._lowest = lowest
        self._highest = highest

    @classmethod
    def of(cls, setting: Activation, floor: float | None) -> "Grid":
        """The grid over floor..clip, or -clip..clip without a floor. Raises ValueError without bits."""
        if setting.bits is None:
            raise ValueError("an activation without bits has no grid")
        low = -setting.clip if floor is None else max(floor, -setting.clip)
        levels = 2**setting.bits - 1
        step = (setting.clip - low) / levels
        below_zero = math.floor(-low / step + 0.5)
        return cls(step, -below_zero, levels - below_zero)

    def codes(self, values: Tensor) -> Tensor:
        """Whole numbers (as float32) of which `step` makes the rounded values; 0 is zero."""
        return torch.round(values / self.step).clamp(self._lowest, self._highest)
