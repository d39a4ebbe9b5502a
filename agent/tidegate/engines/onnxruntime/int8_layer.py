"""A convolution or linear layer on int8 weights, in the form that ONNX Runtime turns into one integer kernel."""

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import GraphBuilder
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.operators import convolution_attributes
from tidegate.engines.plan.quantization import QuantizedWeight, with_room_for_bias
from tidegate.models.graph import Node, Weight
from tidegate.models.graph.operators import CONV2D, LINEAR
from tidegate.models.network import WeightArray


def emit_int8_layer(
    build: GraphBuilder, node: Node, output: str, input_scale: float, numbers: Initializers
) -> None:
    """Emit the node under the name `output`, float32 to float32 between dequantized weights and bias."""
    weight_name = next(node.weights()).weight
    weight = numbers.quantized(weight_name)
    tall = node.operator == LINEAR and len(node.shape) > 1
    bias_argument = node.args[2] if len(node.args) > 2 else None
    bias = numbers.array(bias_argument.weight) if isinstance(bias_argument, Weight) else None
    if bias is not None and not tall:
        weight = with_room_for_bias(weight, bias, input_scale)
    codes = weight.codes.T if tall else weight.codes
    parts = [
        build.constant(f"{weight_name}/codes", np.ascontiguousarray(codes)),
        build.constant(f"{weight_name}/scales", weight.scales),
        build.constant(f"{weight_name}/zeros", np.zeros(len(weight.scales), np.int8)),
    ]
    widened = build.emit("DequantizeLinear", parts, f"{output}/weight", axis=1 if tall else 0)
    inputs = [build.operand(node.args[0], output), widened]
    if bias is not None and not tall:
        inputs.append(_int32_bias(build, bias, weight, input_scale, output))
    product = f"{output}/product" if bias is not None and tall else output
    if node.operator == CONV2D:
        build.emit("Conv", inputs, product, **convolution_attributes(node))
    elif tall:
        build.emit("MatMul", inputs, product)
    else:
        build.emit("Gemm", inputs, product, transB=1)
    if bias is not None and product != output:
        build.emit("Add", [product, build.constant(f"{output}/bias/values", bias)], output)


def _int32_bias(
    build: GraphBuilder, bias: WeightArray, weight: QuantizedWeight, input_scale: float, output: str
) -> str:
    """The bias in units of input scale x weight scale."""
    scales = (weight.scales.astype(np.float64) * input_scale).astype(np.float32)
    exact = np.rint(bias / scales.astype(np.float64))
    parts = [
        build.constant(f"{output}/bias/codes", exact.astype(np.int32)),
        build.constant(f"{output}/bias/scales", scales),
        build.constant(f"{output}/bias/zeros", np.zeros(len(scales), np.int32)),
    ]
    return build.emit("DequantizeLinear", parts, f"{output}/bias", axis=0)
