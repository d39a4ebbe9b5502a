"""Reductions over axes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tidegate.models.importing.onnx.call import Call, Operator, Unsupported

Reduce = Callable[..., Tensor]


def reduction(function: Reduce) -> Operator:
    def reduced(call: Call) -> Tensor:
        x = call.tensor(0)
        axes = call.whole_or_attribute(1, "axes")
        if not axes:
            if call.attribute("noop_with_empty_axes", 0):
                return x
            raise Unsupported("reduces over all axes, the samples' among them; name the axes of one sample")
        return function(x, tuple(int(axis) for axis in axes), keepdim=bool(call.attribute("keepdims", 1)))

    return reduced


def _norm(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    return torch.sqrt((x * x).sum(axes, keepdim=keepdim))


def _sum_of_squares(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    return (x * x).sum(axes, keepdim=keepdim)


def _absolute(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    return x.abs().sum(axes, keepdim=keepdim)


def _sum(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    return x.sum(axes, keepdim=keepdim)


def _product(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Any:
    if len(axes) != 1:
        raise Unsupported("a product over several axes")
    return x.prod(axes[0], keepdim=keepdim)


OPERATORS: dict[str, Operator] = {
    "ReduceL1": reduction(_absolute),
    "ReduceL2": reduction(_norm),
    "ReduceMax": reduction(torch.amax),
    "ReduceMean": reduction(torch.mean),
    "ReduceMin": reduction(torch.amin),
    "ReduceProd": reduction(_product),
    "ReduceSum": reduction(_sum),
    "ReduceSumSquare": reduction(_sum_of_squares),
}
