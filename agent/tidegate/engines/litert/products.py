"""Linear layers, matrix products and attention."""

import numpy as np

from tidegate.engines.litert.graph_builder import GraphBuilder, Value, sized
from tidegate.engines.litert.options import NONE, options
from tidegate.engines.litert.windows import bias_of
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.engines.plan.axis_order import plain
from tidegate.engines.plan.quantization import QuantParams
from tidegate.models.graph import Node, Ref


def linear(build: GraphBuilder, node: Node, params: QuantParams | None) -> Value:
    weight = build.array(node.args[1])
    return emit_linear(build, node, build.constant(weight), bias_of(build, node, len(weight)), params)


def emit_linear(
    build: GraphBuilder,
    node: Node,
    weight: int,
    bias: int,
    params: QuantParams | None,
    activation: int = NONE,
    *,
    dynamic: bool = False,
) -> Value:
    """The layer with weights (outputs, inputs) and bias as LiteRT wants them; `dynamic`: in int8, on float32."""
    x = build.read(node.args[0])
    order = plain(len(x.shape))
    x = build.laid_out(x, order)
    table = options(
        "FullyConnected",
        keepNumDims=True,
        fusedActivationFunction=activation,
        asymmetricQuantizeInputs=dynamic,
    )
    return build.emit("FULLY_CONNECTED", [x.tensor, weight, bias], build.new(sized(node), order, params), table)


def matmul(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    first, second = node.args[:2]
    x = build.read(first)
    x = build.laid_out(x, plain(len(x.shape)))
    out = build.new(sized(node), plain(len(node.shape) + 1))
    if isinstance(second, Ref):
        other = build.read(second)
        other = build.laid_out(other, plain(len(other.shape)))
        return build.emit("BATCH_MATMUL", [x.tensor, other.tensor], out, options("BatchMatMul"))
    weight = build.array(second)
    if weight.ndim != 2:
        raise Unconvertible(f"a weight of {weight.ndim} axes")
    inputs = [x.tensor, build.constant(weight.T), build.constant(np.zeros(weight.shape[1]))]
    return build.emit("FULLY_CONNECTED", inputs, out, options("FullyConnected", keepNumDims=True))


def attention(build: GraphBuilder, node: Node, _params: QuantParams | None) -> Value:
    """softmax(q k^T / sqrt(d)) v over (1, heads, tokens, d), without mask or dropout."""
    if len(node.args) != 3:
        raise Unconvertible("only query, key and value; no mask, dropout or scale of its own")
    query, key, value = (build.read(argument) for argument in node.args)
    order = plain(len(query.shape))
    query, key, value = (build.laid_out(each, order) for each in (query, key, value))
    scaled = build.emit(
        "MUL",
        [query.tensor, build.constant(query.shape[-1] ** -0.5)],
        build.new(query.shape, order),
        options("Mul"),
    )
    shape = (*query.shape[:-1], key.shape[-2])
    scores = build.emit(
        "BATCH_MATMUL", [scaled.tensor, key.tensor], build.new(shape, order), options("BatchMatMul", adjY=True)
    )
    shares = build.emit("SOFTMAX", [scores.tensor], build.new(shape, order), options("Softmax", beta=1.0))
    return build.emit(
        "BATCH_MATMUL", [shares.tensor, value.tensor], build.new(sized(node), order), options("BatchMatMul")
    )
