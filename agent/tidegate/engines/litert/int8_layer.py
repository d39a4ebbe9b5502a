"""A convolution or linear layer on int8 weights with a scale per output channel: on codes, its bias in 32 bits, or
a linear one on float32, which LiteRT quantizes row by row itself (dynamic quantization)."""

import numpy as np

from tidegate.engines.litert.graph_builder import GraphBuilder, Value
from tidegate.engines.litert.options import NONE
from tidegate.engines.litert.products import emit_linear
from tidegate.engines.litert.windows import bias_of, emit_convolution, is_depthwise
from tidegate.engines.plan.quantization import QuantizedWeight, QuantParams, with_room_for_bias
from tidegate.models.graph import Node
from tidegate.models.graph.operators import LINEAR

DYNAMIC = frozenset({LINEAR})
"""Operators whose int8 layers LiteRT computes on float32 as well."""


def emit_int8_layer(
    build: GraphBuilder, node: Node, x: Value, weight: QuantizedWeight, params: QuantParams, activation: int = NONE
) -> Value:
    """The node on `x`, codes to codes of `params`."""
    argument = node.args[2] if len(node.args) > 2 else None
    bias_values = np.zeros(len(weight.scales), np.float32) if argument is None else build.array(argument)
    weight = with_room_for_bias(weight, bias_values, _scale(x))
    codes = np.rint(bias_values / (weight.scales.astype(np.float64) * _scale(x))).astype(np.int32)
    bias = build.model.weight(f"{node.name}/bias", codes, (weight.scales * _scale(x)).astype(np.float32), 0)
    name = f"{node.name}/weight"
    if node.operator == LINEAR:
        held = build.model.weight(name, weight.codes, weight.scales, 0)
        return emit_linear(build, node, held, bias, params, activation)
    depthwise = is_depthwise(node, x.shape[1], weight.codes)
    turned = np.transpose(weight.codes, (1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    held = build.model.weight(name, turned, weight.scales, 3 if depthwise else 0)
    return emit_convolution(build, node, held, bias, depthwise, params, activation)


def emit_dynamic_layer(build: GraphBuilder, node: Node, weight: QuantizedWeight) -> Value:
    """A linear node, float32 to float32, with each row of what it reads on the grid of the row's own range."""
    held = build.model.weight(f"{node.name}/weight", weight.codes, weight.scales, 0)
    return emit_linear(build, node, held, bias_of(build, node, len(weight.codes)), None, dynamic=True)


def _scale(x: Value) -> float:
    assert x.params is not None  # noqa: S101 - the caller has codes
    return x.params.scale
