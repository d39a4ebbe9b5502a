"""Linear layers, matrix products and attention, as Core AI operators."""

from tidegate.engines.coreai.graph_builder import GraphBuilder, axis_of, places, shape_of
from tidegate.engines.coreai.runtime import Value, ops
from tidegate.engines.plan.arguments import Unconvertible, filled
from tidegate.models.graph import Node, Ref


def linear(build: GraphBuilder, node: Node) -> Value:
    argument, weight, bias = filled(node.args, (None, None, None))
    turned = ops.transpose(build.layer_weight(weight), places([1, 0]))
    y = ops.broadcasting_batch_matmul(build.read(argument), turned)
    return y if bias is None else ops.broadcasting_add(y, build.weight(bias))


def matmul(build: GraphBuilder, node: Node) -> Value:
    first, second = node.args[:2]
    other = build.read(second) if isinstance(second, Ref) else build.weight(second)
    return ops.broadcasting_batch_matmul(build.read(first), other)


def attention(build: GraphBuilder, node: Node) -> Value:
    """softmax(q k^T / sqrt(d)) v, without mask or dropout."""
    if len(node.args) != 3:
        raise Unconvertible("only query, key and value; no mask, dropout or scale of its own")
    query, key, value = (build.read(argument) for argument in node.args)
    shape = shape_of(key)
    last = len(shape) - 1
    turned = ops.transpose(key, places([*range(last - 1), last, last - 1]))
    scaled = ops.broadcasting_mul(query, build.number(shape_of(query)[-1] ** -0.5))
    shares = ops.softmax(ops.broadcasting_batch_matmul(scaled, turned), axis_of(last))
    return ops.broadcasting_batch_matmul(shares, value)
