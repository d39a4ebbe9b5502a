"""Where Core AI operators are collected: one function of an asset under construction.

Core AI joins equal constants, so the functions of an asset share their weights. Axes and sizes go in as arrays of
uint32 or int32, whichever an operator wants; a convolution has no padding and no bias of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tidegate.engines.coreai.runtime import Value, ops
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.engines.plan.quantization import WEIGHT_LIMIT, as_int4, quantize_weight
from tidegate.engines.plan.rounding import rounded
from tidegate.models.graph import Argument, Node, Ref, Weight, layer_of
from tidegate.models.ladder import Precision
from tidegate.models.network import Shape, WeightArray

Constant = npt.NDArray[np.generic]
Dtype = type[np.float32] | type[np.float16]


@dataclass(slots=True)
class GraphBuilder:
    """`precisions` go by layer; `dtype` is what the function computes in."""

    dtype: Dtype
    arrays: Callable[[str], WeightArray]
    precisions: Mapping[str, Precision]
    values: dict[str, Value] = field(default_factory=dict)

    def read(self, argument: Argument) -> Value:
        """The value that an argument refers to. Raises Unconvertible where it is none."""
        if not isinstance(argument, Ref):
            raise Unconvertible("of a constant")
        return self.values[argument.ref]

    def number(self, value: float) -> Constant:
        """A number in the width of the function."""
        return np.asarray(value, self.dtype)

    def weight(self, argument: Argument) -> Constant:
        """The weight that an argument names, as the point rounds it, widened. Raises Unconvertible."""
        if not isinstance(argument, Weight):
            raise Unconvertible(f"argument {argument!r} is not a weight")
        return rounded(self.arrays(argument.weight), self._precision(argument.weight)).astype(self.dtype)

    def layer_weight(self, argument: Argument) -> Value | Constant:
        """A convolution's or linear layer's weight: as int8 codes where the point has it in 8 or 4 bits.

        Those of 4 bits are kept in 8: constants below a byte are outside of Core AI's public surface.
        """
        plain = self.weight(argument)
        assert isinstance(argument, Weight)  # noqa: S101 - `weight` refuses all else
        precision = self._precision(argument.weight)
        # A layer of one channel each has as many scales as weights.
        if precision not in {Precision.INT8, Precision.INT4} or plain.size == len(plain):
            return plain
        weight = quantize_weight(self.arrays(argument.weight), WEIGHT_LIMIT)
        codes = as_int4(weight) if precision is Precision.INT4 else weight
        scales = codes.scales.reshape(-1, *[1] * (plain.ndim - 1)).astype(self.dtype)
        nothing = np.zeros(scales.shape, np.int8)
        return ops.blockwise_shift_scale(codes.codes, scales, nothing, np.zeros(scales.shape, self.dtype))

    def _precision(self, weight: str) -> Precision:
        return self.precisions.get(layer_of(weight), Precision.FP32)


Convert = Callable[[GraphBuilder, Node], Value]
"""Emits a node."""


def shape_of(value: Value) -> Shape:
    """With the samples' axis."""
    return tuple(value.type.shape)


def places(numbers: Sequence[int]) -> Constant:
    """Strides, sizes of windows, orders of axes: what Core AI wants without a sign."""
    return np.asarray(numbers, np.uint32)


def axes(numbers: Sequence[int]) -> Constant:
    """Axes, shapes and borders: what Core AI wants with a sign."""
    return np.asarray(numbers, np.int32)


def count(argument: Argument) -> Constant:
    """One number without a sign, such as how many groups. Raises Unconvertible for anything else."""
    if not isinstance(argument, int):
        raise Unconvertible(f"{argument!r} is no whole number")
    return np.asarray(argument, np.uint32)


def axis_of(number: int) -> Constant:
    """One axis, as an operator wants it that takes no list."""
    return np.asarray(number, np.int32)


def reshaped(x: Value, shape: Sequence[int]) -> Value:
    """The same numbers under another shape."""
    return x if shape_of(x) == tuple(shape) else ops.reshape(x, axes(shape))


def added_bias(build: GraphBuilder, x: Value, bias: Argument, behind: int) -> Value:
    """Plus a bias per channel, which has `behind` axes behind it."""
    if bias is None:
        return x
    return ops.broadcasting_add(x, build.weight(bias).reshape(1, -1, *[1] * behind))
