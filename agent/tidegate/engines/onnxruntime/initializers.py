"""A network's numbers as graphs want them: fp32 by reference to the bundle's file, rounded, or as int8 codes."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tidegate.engines.onnxruntime.protobuf import TensorValue
from tidegate.engines.onnxruntime.weights import float_constants
from tidegate.engines.plan.quantization import WEIGHT_LIMIT, QuantizedWeight, as_int4, quantize_weight
from tidegate.engines.plan.rounding import rounded
from tidegate.engines.runtime.processor import weight_limit
from tidegate.models.graph import layer_of
from tidegate.models.ladder import Precision
from tidegate.models.network import Network, WeightArray


class Initializers:
    """Reads weights for one graph; what it has read goes with it."""

    def __init__(
        self,
        network: Network,
        rounding: Mapping[str, Precision] | None = None,
        codes: Mapping[str, Precision] | None = None,
    ) -> None:
        """By layer: `rounding` is eager's arithmetic on floats, `codes` the width of integer layers."""
        self._network = network
        self._rounding = rounding or {}
        self._codes = codes or {}
        self._arrays: Mapping[str, WeightArray] | None = None

    def floats(self, names: Iterable[str]) -> Sequence[TensorValue]:
        """Weights in fp32, each rounded to its layer's precision."""
        names = list(names)
        plain = [name for name in names if layer_of(name) not in self._rounding]
        constants = list(float_constants(self._network, plain))
        for name in names:
            precision = self._rounding.get(layer_of(name))
            if precision is not None:
                array = rounded(self.array(name), precision)
                constants.append(TensorValue(name, array.shape, array))
        return constants

    def quantized(self, name: str) -> QuantizedWeight:
        """A weight as int8 codes that the processor multiplies without saturating; int4 is unpacked to them."""
        if self._codes[layer_of(name)] is Precision.INT4:
            return as_int4(quantize_weight(self.array(name), WEIGHT_LIMIT))
        return quantize_weight(self.array(name), weight_limit())

    def array(self, name: str) -> WeightArray:
        """A weight as it is in the bundle."""
        if self._arrays is None:
            self._arrays = self._network.weights(self._network.weight_shapes)
        return self._arrays[name]


def held_bytes(names: Iterable[str], network: Network, int8: Iterable[str]) -> int:
    """Bytes of the named weights with some layers in int8."""
    coded = set(int8)
    total = 0
    for name in names:
        shape = network.weight_shapes[name]
        elements = int(np.prod(shape))
        is_coded = len(shape) > 1 and layer_of(name) in coded
        total += elements + 4 * shape[0] if is_coded else 4 * elements
    return total
