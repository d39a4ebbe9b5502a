"""A graph of the network as an MLX program, from images with the channels last to the same."""

from collections.abc import Callable, Mapping

import numpy as np

from tidegate.engines.mlx.adapted import adapted_values
from tidegate.engines.mlx.converters import convert
from tidegate.engines.mlx.graph_builder import GraphBuilder, Program, Value
from tidegate.engines.mlx.runtime import mx
from tidegate.engines.mlx.stored_weight import Form, Fp32Weight, StoredWeight
from tidegate.engines.plan.adapted import Adapted
from tidegate.engines.plan.axis_order import channels_last
from tidegate.models.graph import INPUT, Segment
from tidegate.models.network import Shape


def build_program(
    graph: Segment, read_weight: Callable[[str, Form], StoredWeight], adapted: Mapping[str, Adapted]
) -> Program:
    """The graph as a program.

    `adapted` holds AA-ReLU by `segment/node`. Raises Unconvertible for arguments without MLX form.
    """
    build = GraphBuilder(read_weight)
    shape = (1, *graph.input_shape)
    build.values[INPUT] = Value(0, shape, channels_last(len(shape)))
    for node in graph.nodes:
        value = convert(build, node)
        setting = adapted.get(f"{graph.name}/{node.name}")
        if setting is not None:
            value = _adapted(build, value, setting)
        build.values[node.name] = value
    last = build.values[graph.nodes[-1].name]
    return build.done(build.laid_out(last, channels_last(last.rank)))


def check_convertible(graph: Segment, shapes: Mapping[str, Shape]) -> None:
    """Raises UnsupportedPoint for an operator without MLX form. Of weights it needs the `shapes` alone."""

    def empty(name: str, form: Form) -> StoredWeight:
        # Laid out as a view: MLX computes nothing of it.
        full = np.broadcast_to(np.float32(0), (*(1,) * (form.rank - len(shapes[name])), *shapes[name]))
        return Fp32Weight(mx.zeros(np.transpose(full, form.order).shape))

    build_program(graph, empty, {})


def _adapted(build: GraphBuilder, value: Value, setting: Adapted) -> Value:
    return build.emit(lambda x: adapted_values(x, setting), [value], value.shape, value.order)
