"""Which function turns each operator into LiteRT operators, and which of them it computes on int8 codes."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.engines.litert import elementwise, products, rearranging, reductions, windows
from tidegate.engines.litert.graph_builder import Convert, GraphBuilder, Value
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.engines.plan.quantization import QuantParams
from tidegate.models.graph import Node


@dataclass(frozen=True, slots=True)
class Converter:
    """`emit` raises Unconvertible for arguments that have no LiteRT form."""

    emit: Convert
    reads_by_name: frozenset[str] = frozenset()
    on_integers: bool = False


def convert(build: GraphBuilder, node: Node, params: QuantParams | None = None) -> Value:
    """Emit the node: float32 to float32, or codes to codes. Raises Unconvertible naming the node."""
    if has_strange_arguments(node):
        raise Unconvertible(f"node {node.name}: {node.operator}: arguments {sorted(node.kwargs)} by name")
    try:
        return CONVERTERS[node.operator].emit(build, node, params)
    except Unconvertible as error:
        raise Unconvertible(f"node {node.name}: {node.operator}: {error}") from None


def has_strange_arguments(node: Node) -> bool:
    """Whether arguments are given by name that the converter doesn't read: they would be lost without a word."""
    return bool(node.kwargs.keys() - CONVERTERS[node.operator].reads_by_name)


CONVERTERS: Mapping[str, Converter] = {
    "aten.abs.default": Converter(elementwise.unary("ABS", "Abs")),
    "aten.adaptive_avg_pool2d.default": Converter(windows.adaptive_average, on_integers=True),
    "aten.add.Tensor": Converter(elementwise.binary("ADD"), on_integers=True),
    "aten.amax.default": Converter(reductions.amax),
    "aten.avg_pool2d.default": Converter(windows.average_pool, on_integers=True),
    "aten.cat.default": Converter(rearranging.concatenate, on_integers=True),
    "aten.constant_pad_nd.default": Converter(rearranging.padded, on_integers=True),
    "aten.conv2d.default": Converter(windows.convolution),
    "aten.conv_transpose2d.input": Converter(windows.transposed_convolution),
    "aten.div.Tensor": Converter(elementwise.binary("DIV")),
    "aten.elu.default": Converter(elementwise.elu, on_integers=True),
    "aten.embedding.default": Converter(rearranging.looked_up),
    "aten.erf.default": Converter(elementwise.without_a_form),
    "aten.exp.default": Converter(elementwise.unary("EXP", "Exp")),
    "aten.flatten.using_ints": Converter(rearranging.flatten, on_integers=True),
    "aten.gelu.default": Converter(elementwise.gelu, reads_by_name=frozenset({"approximate"}), on_integers=True),
    "aten.group_norm.default": Converter(reductions.group_norm),
    "aten.hardsigmoid.default": Converter(elementwise.hard_sigmoid, on_integers=True),
    "aten.hardswish.default": Converter(elementwise.unary("HARD_SWISH", "HardSwish"), on_integers=True),
    "aten.hardtanh.default": Converter(elementwise.hardtanh),
    "aten.layer_norm.default": Converter(reductions.layer_norm),
    "aten.leaky_relu.default": Converter(elementwise.leaky_relu, on_integers=True),
    "aten.linear.default": Converter(products.linear),
    "aten.log.default": Converter(elementwise.unary("LOG")),
    "aten.matmul.default": Converter(products.matmul),
    "aten.max_pool2d.default": Converter(windows.max_pool, on_integers=True),
    "aten.maximum.default": Converter(elementwise.chosen("MAXIMUM")),
    "aten.mean.dim": Converter(reductions.mean, on_integers=True),
    "aten.minimum.default": Converter(elementwise.chosen("MINIMUM")),
    "aten.mish.default": Converter(elementwise.mish),
    "aten.mul.Tensor": Converter(elementwise.binary("MUL"), on_integers=True),
    "aten.permute.default": Converter(rearranging.permute, on_integers=True),
    "aten.reciprocal.default": Converter(elementwise.reciprocal),
    "aten.relu.default": Converter(elementwise.unary("RELU"), on_integers=True),
    "aten.reshape.default": Converter(rearranging.reshape, on_integers=True),
    "aten.scaled_dot_product_attention.default": Converter(products.attention),
    "aten.sigmoid.default": Converter(elementwise.sigmoid, on_integers=True),
    "aten.silu.default": Converter(elementwise.silu, on_integers=True),
    "aten.slice.Tensor": Converter(rearranging.sliced, on_integers=True),
    "aten.softmax.int": Converter(reductions.softmax),
    "aten.sqrt.default": Converter(elementwise.unary("SQRT")),
    "aten.sub.Tensor": Converter(elementwise.binary("SUB"), on_integers=True),
    "aten.tanh.default": Converter(elementwise.tanh, on_integers=True),
    "aten.transpose.int": Converter(rearranging.transpose, on_integers=True),
    "aten.upsample_bilinear2d.vec": Converter(rearranging.bilinear, on_integers=True),
    "aten.upsample_nearest2d.vec": Converter(rearranging.nearest, on_integers=True),
    "aten.view.default": Converter(rearranging.reshape, on_integers=True),
}
