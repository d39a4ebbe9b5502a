"""Weights as the eager engine rounds them (models.precision.store, dequantize), bit for bit, without torch."""

import numpy as np

from tidegate.engines.plan.quantization import WEIGHT_LIMIT, as_int4, quantize_weight
from tidegate.models.ladder import Precision
from tidegate.models.network import WeightArray


def rounded(weight: WeightArray, precision: Precision) -> WeightArray:
    """The weight after rounding to a precision and widening back; one value per channel stays as it is."""
    if precision is Precision.FP32 or weight.size == len(weight):
        return weight
    if precision is Precision.BF16:
        return _to_bfloat16(weight)
    eight = quantize_weight(weight, WEIGHT_LIMIT)
    quantized = as_int4(eight) if precision is Precision.INT4 else eight
    scales = quantized.scales.reshape(-1, *[1] * (weight.ndim - 1))
    widened: WeightArray = quantized.codes.astype(np.float32) * scales
    return widened


def _to_bfloat16(weight: WeightArray) -> WeightArray:
    """Round to nearest, ties to even, on the upper 16 bits. For finite values."""
    bits = np.ascontiguousarray(weight).view(np.uint32)
    upper = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return upper.view(np.float32)
