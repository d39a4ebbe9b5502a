"""Linear layers, matrix products and attention, as MIL operators."""

from tidegate.engines.coreml.graph_builder import GraphBuilder
from tidegate.engines.coreml.runtime import Var, mb
from tidegate.engines.plan.arguments import Unconvertible, filled
from tidegate.models.graph import Node, Ref


def linear(build: GraphBuilder, node: Node) -> Var:
    _, weight, bias = filled(node.args, (None, None, None))
    more = {} if bias is None else {"bias": build.weight(bias)}
    held = build.layer_weight(weight)
    return mb.linear(x=build.layer_input(node), weight=held, name=build.named(node.name), **more)


def matmul(build: GraphBuilder, node: Node) -> Var:
    first, second = node.args[:2]
    other = build.read(second) if isinstance(second, Ref) else build.weight(second)
    return mb.matmul(x=build.read(first), y=other, name=build.named(node.name))


def attention(build: GraphBuilder, node: Node) -> Var:
    """softmax(q k^T / sqrt(d)) v, without mask or dropout."""
    if len(node.args) != 3:
        raise Unconvertible("only query, key and value; no mask, dropout or scale of its own")
    query, key, value = (build.read(argument) for argument in node.args)
    scaled = mb.mul(x=query, y=build.number(query.shape[-1] ** -0.5), name=build.named("scaled"))
    scores = mb.matmul(x=scaled, y=key, transpose_y=True, name=build.named("scores"))
    shares = mb.softmax(x=scores, axis=-1, name=build.named("shares"))
    return mb.matmul(x=shares, y=value, name=build.named(node.name))
