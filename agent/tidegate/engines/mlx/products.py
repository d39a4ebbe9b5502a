"""Linear layers, matrix products and attention."""

from tidegate.engines.mlx.graph_builder import GraphBuilder, Value, sized
from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.mlx.stored_weight import Form
from tidegate.engines.plan.arguments import Unconvertible, filled
from tidegate.engines.plan.axis_order import plain
from tidegate.models.graph import Node, Ref


def linear(build: GraphBuilder, node: Node) -> Value:
    """In 8 and 4 bits by MLX's quantized product where 32 inputs can share a scale, else on widened weights."""
    argument, weight, bias = filled(node.args, (None, None, None))
    x = build.read(argument)
    order = plain(x.rank)
    inputs: list[Value | int] = [build.laid_out(x, order)]
    times = build.matrix(weight)
    if bias is None:
        return build.emit(times, inputs, sized(node), order)
    inputs.append(build.weight(bias, Form(1, (0,))))
    return build.emit(lambda x, b: times(x) + b, inputs, sized(node), order)


def matmul(build: GraphBuilder, node: Node) -> Value:
    first, second = node.args[:2]
    x = build.read(first)
    inputs: list[Value | int] = [build.laid_out(x, plain(x.rank))]
    if isinstance(second, Ref):
        other = build.read(second)
        inputs.append(build.laid_out(other, plain(other.rank)))
    else:
        inputs.append(build.weight(second, Form(2, (0, 1))))
    return build.emit(mx.matmul, inputs, sized(node), plain(len(node.shape) + 1))


def attention(build: GraphBuilder, node: Node) -> Value:
    """softmax(q k^T / sqrt(d)) v over the last two axes, without mask or dropout."""
    if len(node.args) != 3:
        raise Unconvertible("only query, key and value; no mask, dropout or scale of its own")
    values = [build.read(argument) for argument in node.args]
    order = plain(values[0].rank)
    scale = values[0].shape[-1] ** -0.5
    inputs = [build.laid_out(value, order) for value in values]

    def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if query.ndim == 4:
            return mx.fast.scaled_dot_product_attention(query, key, value, scale=scale)
        shares = mx.softmax((query * scale) @ mx.swapaxes(key, -1, -2), axis=-1, precise=True)
        return shares @ value

    return build.emit(attended, inputs, sized(node), order)
