"""Which function turns each operator of the table into MLX calls."""

from collections.abc import Mapping

from tidegate.engines.mlx import elementwise, products, rearranging, reductions, windows
from tidegate.engines.mlx.elementwise import unary
from tidegate.engines.mlx.graph_builder import GraphBuilder, Value
from tidegate.engines.mlx.runtime import mx
from tidegate.engines.plan.converter import Converter, convert_by
from tidegate.models.graph import Node


def convert(build: GraphBuilder, node: Node) -> Value:
    """Emit the node. Raises Unconvertible naming it."""
    return convert_by(CONVERTERS, build, node)


_ALPHA = frozenset({"alpha"})

CONVERTERS: Mapping[str, Converter[GraphBuilder, Value]] = {
    "aten.abs.default": Converter(unary(mx.abs)),
    "aten.adaptive_avg_pool2d.default": Converter(windows.adaptive_average),
    "aten.add.Tensor": Converter(elementwise.binary(mx.add), _ALPHA),
    "aten.amax.default": Converter(reductions.amax),
    "aten.avg_pool2d.default": Converter(windows.average_pool),
    "aten.cat.default": Converter(rearranging.concatenate),
    "aten.constant_pad_nd.default": Converter(rearranging.padded),
    "aten.conv2d.default": Converter(windows.convolution),
    "aten.conv_transpose2d.input": Converter(windows.transposed_convolution),
    "aten.div.Tensor": Converter(elementwise.binary(mx.divide)),
    "aten.elu.default": Converter(elementwise.elu),
    "aten.embedding.default": Converter(rearranging.looked_up),
    "aten.erf.default": Converter(unary(mx.erf)),
    "aten.exp.default": Converter(unary(mx.exp)),
    "aten.flatten.using_ints": Converter(rearranging.flatten),
    "aten.gelu.default": Converter(elementwise.gelu, frozenset({"approximate"})),
    "aten.group_norm.default": Converter(reductions.group_norm),
    "aten.hardsigmoid.default": Converter(unary(elementwise.hard_sigmoid)),
    "aten.hardswish.default": Converter(unary(elementwise.hard_swish)),
    "aten.hardtanh.default": Converter(elementwise.hardtanh),
    "aten.layer_norm.default": Converter(reductions.layer_norm),
    "aten.leaky_relu.default": Converter(elementwise.leaky_relu),
    "aten.linear.default": Converter(products.linear),
    "aten.log.default": Converter(unary(mx.log)),
    "aten.matmul.default": Converter(products.matmul),
    "aten.max_pool2d.default": Converter(windows.max_pool),
    "aten.maximum.default": Converter(elementwise.binary(mx.maximum)),
    "aten.mean.dim": Converter(reductions.mean),
    "aten.minimum.default": Converter(elementwise.binary(mx.minimum)),
    "aten.mish.default": Converter(unary(elementwise.mish)),
    "aten.mul.Tensor": Converter(elementwise.binary(mx.multiply)),
    "aten.permute.default": Converter(rearranging.permute),
    "aten.reciprocal.default": Converter(unary(mx.reciprocal)),
    "aten.relu.default": Converter(unary(elementwise.relu)),
    "aten.reshape.default": Converter(rearranging.reshape),
    "aten.scaled_dot_product_attention.default": Converter(products.attention),
    "aten.sigmoid.default": Converter(unary(mx.sigmoid)),
    "aten.silu.default": Converter(unary(elementwise.silu)),
    "aten.slice.Tensor": Converter(rearranging.sliced),
    "aten.softmax.int": Converter(reductions.softmax),
    "aten.sqrt.default": Converter(unary(mx.sqrt)),
    "aten.sub.Tensor": Converter(elementwise.binary(mx.subtract), _ALPHA),
    "aten.tanh.default": Converter(unary(mx.tanh)),
    "aten.transpose.int": Converter(rearranging.transpose),
    "aten.upsample_bilinear2d.vec": Converter(rearranging.bilinear),
    "aten.upsample_nearest2d.vec": Converter(rearranging.nearest),
    "aten.view.default": Converter(rearranging.reshape),
}
