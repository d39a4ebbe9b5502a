"""Where MIL operators are collected: one function of a package under construction.

Weights go by an id, under which all functions of a package share one copy in its file.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tidegate.engines.coreml.runtime import Var, mb, types
from tidegate.engines.coreml.weight_format import WeightFormat
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.engines.plan.quantization import WEIGHT_LIMIT, QuantParams, as_int4, quantize_weight
from tidegate.engines.plan.rounding import rounded
from tidegate.models.graph import Argument, Node, Ref, Weight, layer_of
from tidegate.models.ladder import Precision
from tidegate.models.network import WeightArray

_LEAST_INT4 = -8


@dataclass(slots=True)
class GraphBuilder:
    """`precisions` go by layer. `params_of` gives the quantization parameters of what layers read, by value."""

    prefix: str
    format: WeightFormat
    arrays: Callable[[str], WeightArray]
    precisions: Mapping[str, Precision]
    params_of: Mapping[str, QuantParams] = field(default_factory=dict)
    values: dict[str, Var] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """What the plan calls each of `values`."""
    _weights: dict[tuple[str, bool], Var] = field(default_factory=dict)
    _count: int = 0

    @property
    def dtype(self) -> type[np.float32 | np.float16]:
        """What it computes in."""
        return np.float32 if self.format.is_wide else np.float16

    def named(self, hint: str) -> str:
        """A name that no other operator of the package has."""
        self._count += 1
        letters = "".join(letter if letter.isalnum() else "_" for letter in hint)
        return f"{self.prefix}_{self._count}_{letters}"

    def read(self, argument: Argument) -> Var:
        """The value that an argument refers to. Raises Unconvertible where it is none."""
        if not isinstance(argument, Ref):
            raise Unconvertible("of a constant")
        return self.values[argument.ref]

    def number(self, value: float) -> npt.NDArray[np.generic]:
        """A number in the width of the function."""
        return np.asarray(value, self.dtype)[()]

    def constant(self, array: npt.NDArray[np.generic], shared: str) -> Var:
        """An array, held once in the package by the id `shared`."""
        constant = mb.const(val=array, name=self.named("constant"))
        if constant.op.weight_id is None:
            constant.op.weight_id = shared
        return constant

    def shares(self, array: npt.NDArray[np.float64], kind: str) -> Var:
        """A matrix that belongs to an operator and not to the network."""
        narrow = array.astype(self.dtype)
        return self.constant(narrow, f"{kind}/{narrow.shape}/{hashlib.sha256(narrow.tobytes()).hexdigest()}")

    def array(self, argument: Argument) -> WeightArray:
        """The weight that an argument names, as the point rounds it. Raises Unconvertible."""
        if not isinstance(argument, Weight):
            raise Unconvertible(f"argument {argument!r} is not a weight")
        return rounded(self.arrays(argument.weight), self._precision(argument.weight))

    def weight(self, argument: Argument) -> Var:
        """The same as a constant, widened."""
        array = self.array(argument)
        assert isinstance(argument, Weight)  # noqa: S101 - `array` refuses all else
        key = (argument.weight, False)
        if key not in self._weights:
            shared = f"{argument.weight}/{self._precision(argument.weight)}/{np.dtype(self.dtype)}"
            self._weights[key] = self.constant(array.astype(self.dtype), shared)
        return self._weights[key]

    def layer_weight(self, argument: Argument) -> Var:
        """A convolution's or linear layer's weight, in codes where the package holds codes."""
        array = self.array(argument)
        assert isinstance(argument, Weight)  # noqa: S101 - `array` refuses all else
        name, precision = argument.weight, self._precision(argument.weight)
        held = self.format.held(precision)
        if held is Precision.FP32 or array.size == len(array):
            return self.weight(argument)
        key = (name, True)
        if key not in self._weights:
            weight = quantize_weight(self.arrays(name), WEIGHT_LIMIT)
            codes = as_int4(weight) if precision is Precision.INT4 else weight
            scales = codes.scales.reshape(-1, *[1] * (array.ndim - 1))
            shared = f"{name}/{precision}/{held}"
            maker = _lookup if held is Precision.INT4 else _shifted
            self._weights[key] = maker(self, codes.codes, scales, shared)
        return self._weights[key]

    def layer_input(self, node: Node) -> Var:
        """What a layer reads, rounded to 8 bits where the package does that."""
        x = self.read(node.args[0])
        assert isinstance(node.args[0], Ref)  # noqa: S101 - `read` refuses all else
        params = self.params_of.get(self.names[node.args[0].ref])
        layer = node.layer
        if self.format is not WeightFormat.W8A8 or params is None or layer is None:
            return x
        if self.format.held(self.precisions.get(layer, Precision.FP32)) is Precision.FP32:
            return x
        scale, zero = self.number(params.scale), np.uint8(params.zero_point)
        codes = mb.quantize(input=x, scale=scale, zero_point=zero, output_dtype="uint8", name=self.named("codes"))
        return mb.dequantize(input=codes, scale=scale, zero_point=zero, name=self.named("rounded"))

    def _precision(self, weight: str) -> Precision:
        return self.precisions.get(layer_of(weight), Precision.FP32)


def _shifted(
    build: GraphBuilder, codes: npt.NDArray[np.int8], scales: npt.NDArray[np.float32], shared: str
) -> Var:
    data = build.constant(codes, f"{shared}/codes")
    scale = build.constant(scales.astype(build.dtype), f"{shared}/scale")
    return mb.constexpr_blockwise_shift_scale(data=data, scale=scale, name=build.named("weight"))


def _lookup(build: GraphBuilder, codes: npt.NDArray[np.int8], scales: npt.NDArray[np.float32], shared: str) -> Var:
    """Palettized: on some chips the Neural Engine takes a table of sixteen values a channel and no scales."""
    indices = build.constant((codes - _LEAST_INT4).astype(types.np_uint4_dtype), f"{shared}/indices")
    table = (np.arange(16, dtype=np.float32) + _LEAST_INT4) * scales[..., None]
    values = build.constant(table[..., None].astype(build.dtype), f"{shared}/table")
    return mb.constexpr_lut_to_dense(indices=indices, lut=values, name=build.named("weight"))


Convert = Callable[[GraphBuilder, Node], Var]
"""Emits a node."""
