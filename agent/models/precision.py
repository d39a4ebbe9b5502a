"""How a layer's weights are kept in memory. The eager engine keeps them small and widens them to compute."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agent.models.ladder import Precision

INT8_LEVELS = 119
"""Scale is max / 119, not max / 127: then round(q / 16) stays within -7..7, so that the high nibble is a valid
zero-centred int4 (NestQuant, arXiv:2506.17870, has the idea of nesting)."""


class StoredWeight(Protocol):
    """A weight as it lies in memory."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def widened(self) -> Tensor:
        """The weight as float32, to compute with and not to write to."""


@dataclass(frozen=True, slots=True)
class Fp32Weight:
    """Kept as it is."""

    values: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.values.nbytes

    def widened(self) -> Tensor:
        """The weight itself."""
        return self.values


@dataclass(frozen=True, slots=True)
class Bf16Weight:
    """Rounded to bfloat16: relative error up to 2^-9 each."""

    values: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.values.nbytes

    def widened(self) -> Tensor:
        """A fresh float32 copy."""
        return self.values.float()


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """Integers with one scale per output channel (axis 0): absolute error up to half the channel's scale each."""

    values: Tensor
    scales: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes held, scales included."""
        return self.values.nbytes + self.scales.nbytes

    def widened(self) -> Tensor:
        """A fresh float32 copy."""
        return self.values * self.scales


def store(weight: npt.NDArray[np.float32], precision: Precision) -> StoredWeight:
    """A copy of the weight in the precision; vectors (biases, norms) stay fp32, where rounding gains nothing."""
    values = torch.tensor(weight)
    if precision is Precision.FP32 or values.ndim < 2:
        return Fp32Weight(values)
    if precision is Precision.BF16:
        return Bf16Weight(values.bfloat16())
    largest = values.abs().amax(tuple(range(1, values.ndim)), keepdim=True)
    scales = torch.where(largest > 0, largest / INT8_LEVELS, 1.0)
    return Int8Weight(torch.round(values / scales).to(torch.int8), scales)
