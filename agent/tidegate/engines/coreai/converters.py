"""Which function turns each operator of the table into Core AI operators."""

from collections.abc import Mapping

from tidegate.engines.coreai import elementwise, products, rearranging, reductions, windows
from tidegate.engines.coreai.elementwise import binary, unary
from tidegate.engines.coreai.graph_builder import GraphBuilder
from tidegate.engines.coreai.runtime import Value, ops
from tidegate.engines.plan.converter import Converter, convert_by
from tidegate.models.graph import Node


def convert(build: GraphBuilder, node: Node) -> Value:
    """Emit the node. Raises Unconvertible naming it."""
    return convert_by(CONVERTERS, build, node)


_ALPHA = frozenset({"alpha"})

CONVERTERS: Mapping[str, Converter[GraphBuilder, Value]] = {
    "aten.abs.default": Converter(unary(ops.abs_)),
    "aten.adaptive_avg_pool2d.default": Converter(windows.adaptive_average),
    "aten.add.Tensor": Converter(binary(ops.broadcasting_add), _ALPHA),
    "aten.amax.default": Converter(reductions.reduced(ops.reduce_max)),
    "aten.avg_pool2d.default": Converter(windows.average_pool),
    "aten.cat.default": Converter(rearranging.concatenate),
    "aten.constant_pad_nd.default": Converter(rearranging.padded),
    "aten.conv2d.default": Converter(windows.convolution),
    "aten.conv_transpose2d.input": Converter(windows.transposed_convolution),
    "aten.div.Tensor": Converter(binary(ops.broadcasting_divide)),
    "aten.elu.default": Converter(elementwise.elu),
    "aten.embedding.default": Converter(rearranging.looked_up),
    "aten.erf.default": Converter(unary(ops.erf)),
    "aten.exp.default": Converter(unary(ops.exp)),
    "aten.flatten.using_ints": Converter(rearranging.flatten),
    "aten.gelu.default": Converter(elementwise.gelu, frozenset({"approximate"})),
    "aten.group_norm.default": Converter(reductions.group_norm),
    "aten.hardsigmoid.default": Converter(elementwise.hard_sigmoid),
    "aten.hardswish.default": Converter(elementwise.hard_swish),
    "aten.hardtanh.default": Converter(elementwise.hardtanh),
    "aten.layer_norm.default": Converter(reductions.layer_norm),
    "aten.leaky_relu.default": Converter(elementwise.leaky_relu),
    "aten.linear.default": Converter(products.linear),
    "aten.log.default": Converter(unary(ops.log)),
    "aten.matmul.default": Converter(products.matmul),
    "aten.max_pool2d.default": Converter(windows.max_pool),
    "aten.maximum.default": Converter(binary(ops.broadcasting_maximum)),
    "aten.mean.dim": Converter(reductions.reduced(ops.reduce_mean)),
    "aten.minimum.default": Converter(binary(ops.broadcasting_minimum)),
    "aten.mish.default": Converter(elementwise.mish),
    "aten.mul.Tensor": Converter(binary(ops.broadcasting_mul)),
    "aten.permute.default": Converter(rearranging.permute),
    "aten.reciprocal.default": Converter(elementwise.reciprocal),
    "aten.relu.default": Converter(unary(ops.relu)),
    "aten.reshape.default": Converter(rearranging.reshape),
    "aten.scaled_dot_product_attention.default": Converter(products.attention),
    "aten.sigmoid.default": Converter(unary(ops.sigmoid)),
    "aten.silu.default": Converter(unary(ops.silu)),
    "aten.slice.Tensor": Converter(rearranging.sliced),
    "aten.softmax.int": Converter(reductions.softmax),
    "aten.sqrt.default": Converter(unary(ops.sqrt)),
    "aten.sub.Tensor": Converter(binary(ops.broadcasting_sub), _ALPHA),
    "aten.tanh.default": Converter(unary(ops.tanh)),
    "aten.transpose.int": Converter(rearranging.transpose),
    "aten.upsample_bilinear2d.vec": Converter(rearranging.bilinear),
    "aten.upsample_nearest2d.vec": Converter(rearranging.nearest),
    "aten.view.default": Converter(rearranging.reshape),
}
