"""Fully connected int8 layers as convolutions over a picture one pixel wide, a row for each sample.

The numbers are the same to the last bit. oneDNN packs a convolution's weights three to six times faster than a
linear layer's, for which it has no generated code: VGG-16's largest takes half a second.
"""

from dataclasses import replace

import torch
from torch import Tensor

from tidegate.engines.fusion import Layer, Window
from tidegate.engines.packed.kernels import Packed, QuantizedForm, pack_quantized
from tidegate.engines.quantization import QuantizedWeight

LEAST_WEIGHTS = 2**18
"""Below this many weights packing takes a millisecond either way, and a convolution is called some 7 us slower."""

_ACTIVATIONS = frozenset({None, "relu"})
_PIXEL = Window((1, 1), (0, 0), (1, 1), 1)
_MOST_ROWS = 16
"""Up to here a picture's rows take what they take in a linear layer; at 64 it is ten times as much."""


def takes_vectors(layer: Layer, weights: int) -> bool:
    """Whether a layer with that many weights is one that this module packs."""
    kind = None if layer.activation is None else layer.activation.kind
    vectors = layer.window is None and len(layer.source_shape) == 1
    return vectors and layer.residual is None and kind in _ACTIVATIONS and weights >= LEAST_WEIGHTS


def pack_vectors(layer: Layer, weight: QuantizedWeight, bias: Tensor | None, form: QuantizedForm) -> Packed:
    """A layer that `takes_vectors`, on uint8 of shape (samples, inputs), for the number of threads that is set.

    Raises KernelRefused.
    """
    outputs, inputs = weight.codes.shape
    pixel = replace(layer, source_shape=(inputs, 1, 1), shape=(outputs, 1, 1), window=_PIXEL)
    packed = pack_quantized(pixel, replace(weight, codes=weight.codes[:, :, None, None]), bias, form)

    def rows(x: Tensor) -> Tensor:
        picture = x.contiguous().view(1, len(x), 1, inputs).permute(0, 3, 1, 2)
        return packed.run(picture, None).permute(0, 2, 3, 1).reshape(len(x), outputs)

    def run(x: Tensor, _: Tensor | None) -> Tensor:
        if len(x) <= _MOST_ROWS:
            return rows(x)
        return torch.cat([rows(x[first : first + _MOST_ROWS]) for first in range(0, len(x), _MOST_ROWS)])

    return Packed(run, packed.weights_bytes)
