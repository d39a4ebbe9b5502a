"""A convolution or linear layer on int8 weights, in the form that ONNX Runtime turns into one integer kernel."""

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import GraphBuilder
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.operators import convolution_attributes
from tidegate.engines.plan.quantization import QuantizedWeight
from tidegate.models.graph import Node, Weight
from tidegate.models.graph.operators import CONV2D, LINEAR
from tidegate.models.network import WeightArray

_MAX_BIAS_CODE = 2**30
"""Half of what 32 bits hold: the products are added to it."""


def emit_int8_layer(
    build: GraphBuilder, node: Node, output: str, input_scale: float, numbers: Initializers
) -> None:
    """Emit the node under the name `output`, float32 to float32 between dequantized weights and bias."""
    weight_name = next(node.weights()).weight
    weight = numbers.quantized(weight_name)
    tall = node.operator == LINEAR and len(node.shape) > 1
    codes = weight.codes.T if tall else weight.codes
    parts = [
        build.constant(f"{weight_name}/codes", np.ascontiguousarray(codes)),
        build.constant(f"{weight_name}/scales", weight.scales),
        build.constant(f"{weight_name}/zeros", np.zeros(len(weight.scales), np.int8)),
    ]
    widened = build.emit("DequantizeLinear", parts, f"{output}/weight", axis=1 if tall else 0)
    bias_argument = node.args[2] if len(node.args) > 2 else None
    bias = numbers.array(bias_argument.weight) if isinstance(bias_argument, Weight) else None
    inputs = [build.operand(node.args[0], output), widened]
    inside = None if tall or bias is None else _int32_bias(build, bias, weight, input_scale, output)
    if inside is not None:
        inputs.append(inside)
    product = output if inside is not None or bias is None else f"{output}/product"
    if node.operator == CONV2D:
        build.emit("Conv", inputs, product, **convolution_attributes(node))
    elif tall:
        build.emit("MatMul", inputs, product)
    else:
        build.emit("Gemm", inputs, product, transB=1)
    if bias is not None and product != output:
        values = bias.reshape(-1, *[1] * (0 if tall else len(node.shape) - 1))
        build.emit("Add", [product, build.constant(f"{output}/bias/values", values)], output)


def _int32_bias(
    build: GraphBuilder, bias: WeightArray, weight: QuantizedWeight, input_scale: float, output: str
) -> str | None:
    """The bias in units of input scale x weight scale; None where those are too fine for 32 bits."""
    scales = (weight.scales.astype(np.float64) * input_scale).astype(np.float32)
    exact = np.rint(bias / scales.astype(np.float64))
    if np.abs(exact).max() > _MAX_BIAS_CODE:
        return None
    parts = [
        build.constant(f"{output}/bias/codes", exact.astype(np.int32)),
        build.constant(f"{output}/bias/scales", scales),
        build.constant(f"{output}/bias/zeros", np.zeros(len(scales), np.int32)),
    ]
    return build.emit("DequantizeLinear", parts, f"{output}/bias", axis=0)
