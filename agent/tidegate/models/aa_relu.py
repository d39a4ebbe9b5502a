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
    quantizer = UniformQuantizer.of(setting, floor)
    return quantizer.quantize(kept) * quantizer.scale


class UniformQuantizer:
    """Rounds to the evenly spaced values of an `Activation` with bits; 0 is one of them, so zeros stay zeros."""

    def __init__(self, scale: float, lowest: int, highest: int) -> None:
        self.scale = scale
        self._lowest = lowest
        self._highest = highest

    @classmethod
    def of(cls, setting: Activation, floor: float | None) -> "UniformQuantizer":
        """Over floor..clip, or -clip..clip without a floor. Raises ValueError without bits."""
        if setting.bits is None:
            raise ValueError("an activation without bits is not quantized")
        low = -setting.clip if floor is None else max(floor, -setting.clip)
        levels = 2**setting.bits - 1
        scale = (setting.clip - low) / levels
        below_zero = math.floor(-low / scale + 0.5)
        return cls(scale, -below_zero, levels - below_zero)

    def quantize(self, values: Tensor) -> Tensor:
        """Whole numbers (as float32); times `scale` they are the rounded values. Any shape."""
        return torch.round(values / self.scale).clamp(self._lowest, self._highest)
