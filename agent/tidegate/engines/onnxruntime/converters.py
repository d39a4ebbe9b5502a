"""Which function turns each operator into ONNX operators, and what ONNX Runtime does with it in 8 bits."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.engines.onnxruntime import operators, rearranging
from tidegate.engines.onnxruntime.graph_builder import Convert, GraphBuilder
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.models.graph import Node


@dataclass(frozen=True, slots=True)
class Converter:
    """`emit` raises Unconvertible for arguments that have no ONNX form; one that always does states a refusal."""

    emit: Convert
    reads_by_name: frozenset[str] = frozenset()
    """Arguments that it reads by name; others that are given so would be lost without a word."""
    on_integers: bool = False
    """Whether ONNX Runtime computes it on integers when all it reads is integers."""


def convert(build: GraphBuilder, node: Node, output: str) -> None:
    """Emit the node under the name `output`, float32 to float32. Raises Unconvertible naming the node."""
    converter = CONVERTERS[node.operator]
    strange = node.kwargs.keys() - converter.reads_by_name
    if strange:
        raise Unconvertible(f"node {node.name}: {node.operator}: arguments {sorted(strange)} by name")
    try:
        converter.emit(build, node, output)
    except Unconvertible as error:
        raise Unconvertible(f"node {node.name}: {node.operator}: {error}") from None


CONVERTERS: Mapping[str, Converter] = {
    "aten.abs.default": Converter(operators.unary("Abs")),
    "aten.adaptive_avg_pool2d.default": Converter(operators.adaptive_average, on_integers=True),
    "aten.add.Tensor": Converter(operators.binary("Add"), on_integers=True),
    "aten.amax.default": Converter(operators.amax),
    "aten.avg_pool2d.default": Converter(operators.average_pool),
    "aten.cat.default": Converter(operators.concatenate, on_integers=True),
    "aten.constant_pad_nd.default": Converter(rearranging.padded),
    "aten.conv2d.default": Converter(operators.convolution),
    "aten.conv_transpose2d.input": Converter(rearranging.transposed_convolution),
    "aten.div.Tensor": Converter(operators.binary("Div")),
    "aten.elu.default": Converter(operators.leaky("Elu", 1.0)),
    "aten.embedding.default": Converter(rearranging.looked_up),
    "aten.erf.default": Converter(operators.unary("Erf")),
    "aten.exp.default": Converter(operators.unary("Exp")),
    "aten.flatten.using_ints": Converter(operators.flatten, on_integers=True),
    "aten.gelu.default": Converter(operators.gelu, reads_by_name=frozenset({"approximate"})),
    "aten.group_norm.default": Converter(operators.group_norm),
    "aten.hardsigmoid.default": Converter(operators.hard_sigmoid),
    "aten.hardswish.default": Converter(operators.unary("HardSwish")),
    "aten.hardtanh.default": Converter(operators.hardtanh, on_integers=True),
    "aten.layer_norm.default": Converter(operators.layer_norm),
    "aten.leaky_relu.default": Converter(operators.leaky("LeakyRelu", 0.01)),
    "aten.linear.default": Converter(operators.linear),
    "aten.log.default": Converter(operators.unary("Log")),
    "aten.matmul.default": Converter(operators.binary("MatMul")),
    "aten.max_pool2d.default": Converter(operators.max_pool, on_integers=True),
    "aten.maximum.default": Converter(operators.binary("Max")),
    "aten.mean.dim": Converter(operators.mean, on_integers=True),
    "aten.minimum.default": Converter(operators.binary("Min")),
    "aten.mish.default": Converter(operators.unary("Mish")),
    "aten.mul.Tensor": Converter(operators.binary("Mul"), on_integers=True),
    "aten.permute.default": Converter(operators.permute),
    "aten.reciprocal.default": Converter(operators.unary("Reciprocal")),
    "aten.relu.default": Converter(operators.unary("Relu"), on_integers=True),
    "aten.reshape.default": Converter(operators.reshape),
    "aten.scaled_dot_product_attention.default": Converter(operators.attention),
    "aten.sigmoid.default": Converter(operators.unary("Sigmoid"), on_integers=True),
    "aten.silu.default": Converter(operators.silu, on_integers=True),
    "aten.slice.Tensor": Converter(rearranging.sliced),
    "aten.softmax.int": Converter(rearranging.softmax),
    "aten.sqrt.default": Converter(operators.unary("Sqrt")),
    "aten.sub.Tensor": Converter(operators.binary("Sub")),
    "aten.tanh.default": Converter(operators.unary("Tanh")),
    "aten.transpose.int": Converter(operators.transpose),
    "aten.upsample_bilinear2d.vec": Converter(rearranging.bilinear),
    "aten.upsample_nearest2d.vec": Converter(rearranging.nearest),
    "aten.view.default": Converter(operators.reshape, on_integers=True),
}
