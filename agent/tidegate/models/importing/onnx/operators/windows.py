"""Convolutions, pools, and changes of an image's size."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tidegate.models.importing.onnx.call import Call, Operator, Unsupported

_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
_MAX = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


def _axes(x: Tensor) -> int:
    count = x.ndim - 2
    if count not in _CONVOLUTIONS:
        raise Unsupported(f"slides over {count} axes; allowed are signals (1), images (2) and films (3)")
    return count


def _numbers(call: Call, name: str, count: int, default: int = 1) -> list[int]:
    return list(call.attribute(name) or [default] * count)


def _pads(call: Call, x: Tensor, kernel: Sequence[int]) -> tuple[list[int], list[int]]:
    """What is added before and behind each axis."""
    count = len(kernel)
    how = call.attribute("auto_pad", "NOTSET")
    if how in {"NOTSET", ""}:
        pads = _numbers(call, "pads", 2 * count, 0)
        return pads[:count], pads[count:]
    if how == "VALID":
        return [0] * count, [0] * count
    strides, dilations = _numbers(call, "strides", count), _numbers(call, "dilations", count)
    front, behind = [], []
    for size, width, step, spread in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        reach = (math.ceil(size / step) - 1) * step + (width - 1) * spread + 1
        whole = max(0, reach - size)
        less = whole // 2
        front.append(less if how == "SAME_UPPER" else whole - less)
        behind.append(whole - front[-1])
    return front, behind


def _padded(x: Tensor, front: Sequence[int], behind: Sequence[int], value: float = 0.0) -> Tensor:
    pairs = [amount for pair in zip(reversed(front), reversed(behind), strict=True) for amount in pair]
    return functional.pad(x, pairs, value=value)


def convolution(call: Call) -> Tensor:
    x, weight, bias = call.tensor(0), call.tensor(1), call.maybe(2)
    count = _axes(x)
    front, behind = _pads(call, x, weight.shape[2:])
    if front != behind:
        x, front = _padded(x, front, behind), [0] * count
    window = (_numbers(call, "strides", count), front, _numbers(call, "dilations", count))
    return _CONVOLUTIONS[count](x, weight, bias, *window, call.attribute("group", 1))


def transposed(call: Call) -> Tensor:
    x, weight, bias = call.tensor(0), call.tensor(1), call.maybe(2)
    count = _axes(x)
    if call.attribute("output_shape") or call.attribute("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        raise Unsupported("its padding follows from the size that is wanted; export it with `pads`")
    front, behind = _pads(call, x, weight.shape[2:])
    more = _numbers(call, "output_padding", count, 0)
    if front != behind:
        # What is cut off behind less than in front is an output padding.
        more = [extra + before - after for extra, before, after in zip(more, front, behind, strict=True)]
        if min(more) < 0:
            raise Unsupported(f"cuts off {front} in front and {behind} behind")
    strides, dilations = _numbers(call, "strides", count), _numbers(call, "dilations", count)
    return _TRANSPOSED[count](x, weight, bias, strides, front, more, call.attribute("group", 1), dilations)


def max_pool(call: Call) -> Tensor:
    x = call.tensor(0)
    count = _axes(x)
    if call.outputs > 1 or call.attribute("storage_order", 0):
        raise Unsupported("its second output, the indices, can't be kept; take the values alone")
    kernel = _numbers(call, "kernel_shape", count)
    front, behind = _pads(call, x, kernel)
    if front != behind or any(2 * pad > width for pad, width in zip(front, kernel, strict=True)):
        x, front = _padded(x, front, behind, torch.finfo(torch.float32).min), [0] * count
    window = (_numbers(call, "strides", count), front, _numbers(call, "dilations", count))
    return _MAX[count](x, kernel, *window, bool(call.attribute("ceil_mode", 0)))


def average_pool(call: Call) -> Tensor:
    x = call.tensor(0)
    count = _axes(x)
    if any(width != 1 for width in _numbers(call, "dilations", count)):
        raise Unsupported("an average over windows with gaps")
    kernel = _numbers(call, "kernel_shape", count)
    front, behind = _pads(call, x, kernel)
    counted = bool(call.attribute("count_include_pad", 0))
    if front != behind:
        if not counted:
            raise Unsupported(f"pads {front} before and {behind} behind, without counting that")
        x, front = _padded(x, front, behind), [0] * count
    strides = _numbers(call, "strides", count)
    return _AVERAGE[count](x, kernel, strides, front, bool(call.attribute("ceil_mode", 0)), counted)


def global_average(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


def global_maximum(call: Call) -> Tensor:
    x = call.tensor(0)
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


def resize(call: Call) -> Tensor:
    """To another height and width, in the ways that torch's `interpolate` has."""
    x = call.tensor(0)
    old = list(x.shape[2:])
    new = _new_size(call, x)
    if new == old:
        return x
    if call.attribute("antialias", 0):
        raise Unsupported("smooths while it shrinks (antialias)")
    mode = call.attribute("mode", "nearest")
    place = call.attribute("coordinate_transformation_mode", "half_pixel" if call.opset > 10 else "asymmetric")
    if mode == "nearest":
        return _nearest(call, x, new, place)
    if place not in {"half_pixel", "pytorch_half_pixel", "align_corners"} or x.ndim != 4:
        raise Unsupported(f"mode {mode} with {place}; allowed are half_pixel and align_corners, on images")
    corners = place == "align_corners"
    if mode == "cubic" and call.attribute("cubic_coeff_a", -0.75) == -0.75:
        return functional.interpolate(x, new, mode="bicubic", align_corners=corners)
    if mode != "linear":
        raise Unsupported(f"mode {mode}; allowed are nearest, linear, and cubic with a coefficient of -0.75")
    return functional.interpolate(x, new, mode="bilinear", align_corners=corners)


def _nearest(call: Call, x: Tensor, new: list[int], place: str) -> Tensor:
    rounding = call.attribute("nearest_mode", "round_prefer_floor" if call.opset > 10 else "floor")
    old = list(x.shape[2:])
    # Growing by whole factors all of ONNX's ways agree but one, which counts from the corners.
    grown = all(wide % size == 0 for wide, size in zip(new, old, strict=True))
    if place == "align_corners" or not (grown or (place, rounding) == ("asymmetric", "floor")):
        raise Unsupported(f"nearest by {place} and {rounding} to {new}; allowed are asymmetric with floor")
    if place == "asymmetric" and rounding != "floor":
        raise Unsupported(f"nearest by asymmetric and {rounding}; allowed is floor")
    return functional.interpolate(x, new, mode="nearest")


def _new_size(call: Call, x: Tensor) -> list[int]:
    if call.attribute("axes"):
        raise Unsupported("names the axes to be resized; give sizes or scales of all of them")
    old: list[Any] = list(x.shape)
    scales = call.attribute("scales")  # of the older Upsample
    place = 1 if call.operator == "Upsample" or call.opset < 11 else 2
    if scales is None and call.optional(place) is not None:
        scales = call.numbers(place) or None
    sizes = call.whole(3)[2:] if scales is None else [int(n * s) for n, s in zip(old[2:], scales[2:], strict=True)]
    return [int(size) for size in sizes]


OPERATORS: dict[str, Operator] = {
    "AveragePool": average_pool,
    "Conv": convolution,
    "ConvTranspose": transposed,
    "GlobalAveragePool": global_average,
    "GlobalMaxPool": global_maximum,
    "MaxPool": max_pool,
    "Resize": resize,
    "Upsample": resize,
}
