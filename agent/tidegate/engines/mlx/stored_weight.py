"""A network's weights as MLX holds them: in few bits, widened when an answer is computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.plan.axis_order import Order
from tidegate.engines.plan.quantization import WEIGHT_LIMIT, QuantizedWeight, as_int4, quantize_weight
from tidegate.engines.plan.rounding import rounded
from tidegate.models.graph import layer_of
from tidegate.models.ladder import Precision
from tidegate.models.network import Shape, WeightArray

_GROUPS = (128, 64, 32)
"""How many inputs may share a scale in MLX's own quantized product."""


class StoredWeight(Protocol):
    """A weight in memory."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that it holds."""

    def widened(self) -> Tensor:
        """In float32, computed when it is needed."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Fp32Weight:
    """Not rounded."""

    values: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.values,)

    def widened(self) -> Tensor:
        return self.values


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Bf16Weight:
    """Rounded to bfloat16."""

    values: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.values,)

    def widened(self) -> Tensor:
        return self.values.astype(mx.float32)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Int8Weight:
    """Codes with scales that fit them by broadcasting."""

    codes: Tensor
    scales: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.codes, self.scales)

    def widened(self) -> Tensor:
        return self.codes.astype(mx.float32) * self.scales


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Int4Weight:
    """Codes of four bits, two to a byte, low nibble first."""

    packed: Tensor
    scales: Tensor
    shape: Shape

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.packed, self.scales)

    def widened(self) -> Tensor:
        nibbles = mx.stack([self.packed & 0xF, self.packed >> 4], axis=1).flatten()
        count = int(np.prod(self.shape))
        codes = (nibbles[:count] ^ 8).astype(mx.float32) - 8
        return codes.reshape(self.shape) * self.scales


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PackedMatrix:
    """Codes of a linear layer (outputs, inputs) for `quantized_matmul`: value = code * scale + offset."""

    packed: Tensor
    scales: Tensor
    offsets: Tensor
    group: int
    bits: int

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.packed, self.scales, self.offsets)

    def widened(self) -> Tensor:
        return mx.dequantize(self.packed, self.scales, self.offsets, group_size=self.group, bits=self.bits)

    def times(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return mx.quantized_matmul(
            x, self.packed, self.scales, self.offsets, transpose=True, group_size=self.group, bits=self.bits
        )


@dataclass(frozen=True, slots=True)
class Form:
    """How a converter wants a weight: axes of size 1 in front up to `rank`, then turned.

    A `matrix` is packed for MLX's quantized product where its inputs can share scales.
    """

    rank: int
    order: Order
    matrix: bool = False

    def laid_out(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The array in this form, contiguous."""
        full = array.reshape((1,) * (self.rank - array.ndim) + array.shape)
        return np.ascontiguousarray(np.transpose(full, self.order))


class WeightStore:
    """Weights that are in use by any variant, each once for every precision and form."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[tuple[str, Precision, Form], StoredWeight] = WeakValueDictionary()

    def reader(
        self, arrays: Callable[[str], WeightArray], rounding: Mapping[str, Precision]
    ) -> Callable[[str, Form], StoredWeight]:
        """Gives weights of `arrays` by name, rounded as the `rounding` of their layers says."""

        def read(name: str, form: Form) -> StoredWeight:
            key = (name, rounding.get(layer_of(name), Precision.FP32), form)
            held = self._held.get(key)
            if held is None:
                held = stored(arrays(name), key[1], form)
                self._held[key] = held
            return held

        return read


def stored(array: WeightArray, precision: Precision, form: Form) -> StoredWeight:
    """The weight in a precision, rounded as the reference rounds; one value per channel stays as it is."""
    if precision is Precision.FP32 or array.size == len(array):
        return Fp32Weight(mx.array(form.laid_out(array)))
    if precision is Precision.BF16:
        return Bf16Weight(mx.array(form.laid_out(rounded(array, precision))).astype(mx.bfloat16))
    weight = quantize_weight(array, WEIGHT_LIMIT)
    weight = as_int4(weight) if precision is Precision.INT4 else weight
    bits = 4 if precision is Precision.INT4 else 8
    group = next((size for size in _GROUPS if array.shape[-1] % size == 0), None)
    if form.matrix and group is not None:
        return _packed(weight, bits, group)
    codes = form.laid_out(weight.codes)
    scales = mx.array(form.laid_out(weight.scales.reshape(-1, *[1] * (array.ndim - 1))))
    if bits == 8:
        return Int8Weight(mx.array(codes), scales)
    return Int4Weight(mx.array(_nibbles(codes.astype(np.int16).ravel())), scales, codes.shape)


def _packed(weight: QuantizedWeight, bits: int, group: int) -> PackedMatrix:
    zero = 1 << (bits - 1)
    above = weight.codes.astype(np.int16) + zero
    bytes_of = above if bits == 8 else above[:, ::2] | (above[:, 1::2] << 4)
    words = np.ascontiguousarray(bytes_of.astype(np.uint8)).view("<u4")
    scales = np.repeat(weight.scales[:, None], weight.codes.shape[1] // group, axis=1)
    return PackedMatrix(mx.array(words), mx.array(scales), mx.array(-zero * scales), group, bits)


def _nibbles(codes: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    low = np.append(codes, np.zeros(len(codes) % 2, np.int16)).reshape(-1, 2) & 0xF
    return (low[:, 0] | (low[:, 1] << 4)).astype(np.uint8)
