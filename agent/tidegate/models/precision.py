"""How a layer's weights are kept in memory. The eager engine keeps them small and dequantizes them to compute."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tidegate.models.ladder import Precision

INT8_LEVELS = 119
"""Scale is max / 119, not max / 127: then round(q / 16) stays within -7..7, so that the high nibble is a valid
zero-centred int4 (NestQuant, arXiv:2506.17870, has the idea of nesting)."""


class StoredWeight(Protocol):
    """A weight as it lies in memory."""

    @property
    def nbytes(self) -> int:
        """Bytes held, scales included."""

    def dequantize(self) -> Tensor:
        """The weight as float32, to compute with and not to write to."""


@dataclass(frozen=True, slots=True)
class Fp32Weight:
    """Not rounded."""

    values: Tensor

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def dequantize(self) -> Tensor:
        """The weight itself, not a copy."""
        return self.values


@dataclass(frozen=True, slots=True)
class Bf16Weight:
    """Rounded to bfloat16: relative error up to 2^-9 each."""

    values: Tensor

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def dequantize(self) -> Tensor:
        return self.values.float()


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """Integers with one scale per output channel (axis 0): absolute error up to half the channel's scale each."""

    values: Tensor
    scales: Tensor

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes

    def dequantize(self) -> Tensor:
        return self.values * self.scales


@dataclass(frozen=True, slots=True)
class Int4Weight:
    """The high nibbles of an `Int8Weight`, two to a byte; with the low ones it is that weight again, bit by bit.

    `scales` are the int8 ones: one step here is sixteen of theirs.
    """

    packed: Tensor
    scales: Tensor
    shape: torch.Size

    @property
    def nbytes(self) -> int:
        return self.packed.nbytes + self.scales.nbytes

    def dequantize(self) -> Tensor:
        return unpack_nibbles(self.packed, self.shape) * (16 * self.scales)

    def joined(self, low: Tensor) -> Int8Weight:
        """The int8 weight again, from the packed low nibbles that `split` gave."""
        high = unpack_nibbles(self.packed, self.shape)
        return Int8Weight(high * 16 + unpack_nibbles(low, self.shape), self.scales)


def split(weight: Int8Weight) -> tuple[Int4Weight, Tensor]:
    """The weight's zero-centred high nibbles, and its low ones packed.

    The high nibble is rounded, not cut: a cut is off by up to fifteen int8 steps, always downwards.
    """
    high = (weight.values.to(torch.int16) + 8) >> 4
    low = weight.values.to(torch.int16) - 16 * high
    return Int4Weight(pack_nibbles(high), weight.scales, weight.values.shape), pack_nibbles(low)


def pack_nibbles(values: Tensor) -> Tensor:
    """Whole numbers in -8..7 as uint8, two to a byte, in order; an odd count is filled up with a zero."""
    flat = (values.flatten().to(torch.int16) & 0xF).to(torch.uint8)
    pairs = torch.cat([flat, flat.new_zeros(len(flat) % 2)]).view(-1, 2)
    return pairs[:, 0] | (pairs[:, 1] << 4)


def unpack_nibbles(packed: Tensor, shape: torch.Size) -> Tensor:
    """The int8 values of `pack_nibbles` in the shape they had."""
    signed = packed.view(torch.int8)
    pairs = torch.stack([(signed << 4) >> 4, signed >> 4], 1)
    return pairs.flatten()[: shape.numel()].view(shape)


def fake_quantized(weight: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.float32]:
    """The weight rounded to `bits` (2..8) per output channel and dequantized: for analysis, nothing runs on it.

    Raises ValueError for other widths.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"{bits} bits: allowed are 2 to 8")
    if weight.size == len(weight):
        return weight
    levels = 2 ** (bits - 1) - 1
    largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scales = np.where(largest > 0, largest / levels, 1).astype(np.float32)
    return (np.round(weight / scales) * scales).astype(np.float32)


def store(weight: npt.NDArray[np.float32], precision: Precision) -> StoredWeight:
    """A copy of the weight in the precision.

    With one value per channel (biases, norms) it stays fp32: a scale for each would be longer than the value.
    """
    values = torch.tensor(weight)
    if precision is Precision.FP32 or values.numel() == len(values):
        return Fp32Weight(values)
    if precision is Precision.BF16:
        return Bf16Weight(values.bfloat16())
    largest = values.abs().amax(tuple(range(1, values.ndim)), keepdim=True)
    scales = torch.where(largest > 0, largest / INT8_LEVELS, 1.0)
    int8 = Int8Weight(torch.round(values / scales).to(torch.int8), scales)
    return int8 if precision is Precision.INT8 else split(int8)[0]
