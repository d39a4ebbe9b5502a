"""Small layers in fp32 as plain torch operators on channels-last values.

oneDNN takes 25 us to look a primitive up, whatever the layer; below the limits here that is most of its time, and
torch's own product is done in 5 to 20. Measured on AVX-512 at 1 thread; both ways compute the same sums.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows
from torch import Tensor

from tidegate.engines.fusion import Layer, Window
from tidegate.engines.packed.kernels import Kernel, Packed

_LIMIT_FLOPS = 2e6
_LIMIT_POINTWISE_FLOPS = 8e6
_POINTWISE = Window((1, 1), (0, 0), (1, 1), 1)


def is_small(layer: Layer, weight_shape: tuple[int, ...]) -> bool:
    """Whether a plain operator is faster for one sample. By size, so that every preparation chooses alike."""
    positions = layer.shape[:-1] if layer.window is None else layer.shape[1:]
    flops = 2 * math.prod(weight_shape) * math.prod(positions)
    if layer.window is not None and layer.window.groups > 1:
        return False
    return flops <= (_LIMIT_POINTWISE_FLOPS if _is_pointwise(layer, weight_shape) else _LIMIT_FLOPS)


def pack_small(layer: Layer, weight: Tensor, bias: Tensor | None) -> Packed:
    """A layer without residual or activation, in fp32."""
    held = weight.nbytes + (0 if bias is None else bias.nbytes)
    return Packed(_kernel(layer, weight, bias), held)


def _kernel(layer: Layer, weight: Tensor, bias: Tensor | None) -> Kernel:
    window = layer.window
    if window is None:
        return lambda x, _: F.linear(x, weight, bias)
    if _is_pointwise(layer, tuple(weight.shape)):
        rows = weight.flatten(1)
        return lambda x, _: F.linear(x.permute(0, 2, 3, 1), rows, bias).permute(0, 3, 1, 2)
    stride, padding, dilation = list(window.stride), list(window.padding), list(window.dilation)
    weight = weight.contiguous(memory_format=torch.channels_last)

    def run(x: Tensor, _: Tensor | None) -> Tensor:
        y = torch.conv2d(x, weight, bias, stride, padding, dilation, 1)
        # With one input channel nothing tells torch the layout of the output.
        return y.contiguous(memory_format=torch.channels_last)

    return run


def _is_pointwise(layer: Layer, weight_shape: tuple[int, ...]) -> bool:
    return layer.window == _POINTWISE and weight_shape[2:] == (1, 1)
