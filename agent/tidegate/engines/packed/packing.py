"""Packing a network's layers for their kernels, each in its own arithmetic."""

import math
import os
from collections.abc import Collection
from enum import StrEnum
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from tidegate.engines.engine import Array
from tidegate.engines.fusion import Layer
from tidegate.engines.int8_store import Int8Store
from tidegate.engines.packed import kernels
from tidegate.engines.packed.forms import Arithmetic, PlannedStep
from tidegate.engines.packed.small_layers import is_small, pack_small
from tidegate.engines.packed.sparse_linear import LEAST_WEIGHTS, pack_sparse
from tidegate.engines.packed.threads import threads
from tidegate.engines.packed.vectors import pack_vectors, takes_vectors
from tidegate.models.graph import layer_of
from tidegate.models.knobs import Knobs, precision_of
from tidegate.models.ladder import Precision
from tidegate.models.network import Network
from tidegate.models.precision import store

_ARITHMETIC = {
    Precision.FP32: Arithmetic.FP32,
    Precision.BF16: Arithmetic.BF16,
    Precision.INT8: Arithmetic.INT8,
    # No kernel multiplies by 4 bits here: the codes are widened to 8 when a layer is packed.
    Precision.INT4: Arithmetic.INT8,
}

LARGE_WEIGHTS = 4 * 2**20
"""From here on an int8 layer is packed by all cores, a linear one over tokens in half the time. Smaller ones are
packed sooner by one, and those of vectors for the threads that run them."""


class Kind(StrEnum):
    """What a layer runs on: oneDNN's kernels, or torch's plain ones where those are faster."""

    PACKED = "packed"
    VECTORS = "vectors"
    SMALL = "small"
    SPARSE = "sparse"


class Packing:
    """A network's layers; those packed alike are shared by the variants that are alive."""

    def __init__(self, network: Network, int8: Int8Store, most_non_zero: float) -> None:
        """For `most_non_zero` see `Offer`."""
        self.network = network
        self.int8 = int8
        self.most_non_zero = most_non_zero
        self.shared: WeakValueDictionary[object, kernels.Packed] = WeakValueDictionary()

    def at(self, knobs: Knobs, native: bool, used: Collection[str], threads: int) -> "Packer":
        """For one variant, which answers with `threads`; `used` names its weights, `native` its arithmetic (see
        `PackedEngine`)."""
        return Packer(self, knobs, native, used, threads)


class Packer:
    """Packs for one variant and is thrown away with the weights it has read."""

    def __init__(self, packing: Packing, knobs: Knobs, native: bool, used: Collection[str], threads: int) -> None:
        self._packing = packing
        self._knobs = knobs
        self._native = native
        self._used = tuple(used)
        self._threads = threads
        self._read: dict[str, Array] = {}

    def arithmetic(self, layer: Layer) -> Arithmetic:
        """What the layer computes in."""
        return _ARITHMETIC[precision_of(self._knobs, layer.name)] if self._native else Arithmetic.FP32

    def weight(self, name: str) -> Tensor:
        """A weight of an operator that has no packed kernel: as eager rounds it, in float32."""
        return store(self._array(name), precision_of(self._knobs, layer_of(name))).widened()

    def kind(self, planned: PlannedStep) -> Kind:
        """What kind of kernel the layer runs on; only a packed one takes in what was fused to it."""
        layer = planned.step
        assert isinstance(layer, Layer)  # noqa: S101 - by the caller
        shape = self._packing.network.weight_shapes[layer.weight]
        if planned.arithmetic is Arithmetic.INT8 and takes_vectors(layer, math.prod(shape)):
            return Kind.VECTORS
        if planned.arithmetic is not Arithmetic.FP32:
            return Kind.PACKED
        sparse = planned.reads_sparse and layer.window is None and len(layer.source_shape) == 1
        if sparse and math.prod(shape) >= LEAST_WEIGHTS and self._packing.most_non_zero > 0:
            return Kind.SPARSE
        return Kind.SMALL if is_small(layer, shape) else Kind.PACKED

    def pack(
        self,
        layer: Layer,
        arithmetic: Arithmetic,
        kind: Kind,
        form: kernels.QuantizedForm | None,
        writes_over: bool = False,
    ) -> kernels.Packed:
        """The layer's kernel; for `writes_over` see `kernels.pack_float`. Raises kernels.KernelRefused."""
        precision = precision_of(self._knobs, layer.name)
        # In these, oneDNN lays weights out for the number of threads that it is packed with. Run with another, it
        # lays them out anew in every call: a 1x1 convolution of ResNet-50 then takes eleven times as long.
        threaded = kind is Kind.VECTORS or (form is None and kind is Kind.PACKED)
        laid_out_for = self._threads if threaded else None
        key = (layer, arithmetic, kind, precision, form, writes_over, laid_out_for)
        packed = self._packing.shared.get(key)
        if packed is None:
            large = math.prod(self._packing.network.weight_shapes[layer.weight]) >= LARGE_WEIGHTS
            with threads(laid_out_for or ((os.cpu_count() or 1) if large else 1)):
                packed = self._packed(layer, arithmetic, kind, form, writes_over)
            self._packing.shared[key] = packed
        return packed

    def _packed(
        self,
        layer: Layer,
        arithmetic: Arithmetic,
        kind: Kind,
        form: kernels.QuantizedForm | None,
        writes_over: bool,
    ) -> kernels.Packed:
        precision = precision_of(self._knobs, layer.name)
        bias = None if layer.bias is None else torch.tensor(self._array(layer.bias))
        if form is not None:
            pack = pack_vectors if kind is Kind.VECTORS else kernels.pack_quantized
            return pack(layer, self._packing.int8.weight(layer.weight, precision), bias, form)
        if arithmetic is Arithmetic.BF16:
            weight = torch.tensor(self._array(layer.weight))
            return kernels.pack_float(layer, weight, bias, torch.bfloat16, writes_over)
        kept = Precision.FP32 if self._native else precision
        weight = store(self._array(layer.weight), kept).widened()
        if kind is Kind.SMALL:
            return pack_small(layer, weight, bias)
        if kind is Kind.SPARSE:
            return pack_sparse(weight, bias, self._packing.most_non_zero)
        return kernels.pack_float(layer, weight, bias, torch.float32, writes_over)

    def _array(self, name: str) -> Array:
        """A weight in fp32. Vectors come with the first: layers in int8 want no more than their bias."""
        if name not in self._read:
            shapes = self._packing.network.weight_shapes
            wanted = (
                self._used if len(shapes[name]) > 1 else [each for each in self._used if len(shapes[each]) < 2]
            )
            self._read |= self._packing.network.weights({*wanted, name})
        return self._read[name]
