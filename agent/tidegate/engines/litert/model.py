"""A stage as one LiteRT model: graphs in a row, an exit's head and a gate's score behind them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.engines.litert.adapted import emit_adapted
from tidegate.engines.litert.converters import CONVERTERS, convert, has_strange_arguments
from tidegate.engines.litert.elementwise import emit_binary
from tidegate.engines.litert.flatbuffer import SIGNED, EmptyModelBuilder, ModelBuilder
from tidegate.engines.litert.gate import emit_best_two, emit_score
from tidegate.engines.litert.graph_builder import GraphBuilder, Value
from tidegate.engines.litert.int8_layer import DYNAMIC, emit_dynamic_layer, emit_int8_layer
from tidegate.engines.litert.options import NONE, RELU, RELU6, options
from tidegate.engines.plan.arithmetic import Arithmetic
from tidegate.engines.plan.axis_order import Order, channels_last, plain
from tidegate.engines.plan.execution import Subgraph
from tidegate.engines.plan.quantization import LEVELS, QuantizedWeight, QuantParams
from tidegate.engines.plan.stages import Run, Stage
from tidegate.engines.plan.tensors import is_quantizable_layer
from tidegate.models.graph import INPUT, Node, Segment, Weight
from tidegate.models.graph.fusion import is_clamp, only_readers
from tidegate.models.graph.operators import ADD, MUL
from tidegate.models.graph.operators import RELU as RELU_OPERATOR
from tidegate.models.network import Shape, WeightArray

_FUSED_BINARY = {ADD: "ADD", MUL: "MUL"}
"""Those that clamp on their way out."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A network's weights by name: in float32 as a point rounds them, and as the codes of an int8 layer."""

    array: Callable[[str], WeightArray]
    codes: Callable[[str], QuantizedWeight]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Model:
    """A stage's model, and which of its outputs is what; None for what it doesn't give.

    `carried` is the value that goes on, None where that is the input. `seen` and `before` are what a gate that
    looks back compares: its block's input, and that of the block before. `answer_axes` says where the axes of the
    answer lie, None where they lie as the graph counts them.
    """

    data: bytes
    input_order: Order
    answer: int | None
    answer_axes: Order | None
    best_two: int | None
    score: int | None
    carried: int | None
    seen: int | None
    before: int | None


def build_model(stage: Stage, arithmetic: Arithmetic, weights: Weights) -> Model:
    """Raises UnsupportedPoint for an operator without LiteRT form."""
    return _ModelBuilder(arithmetic, weights, ModelBuilder("stage")).build(stage)


def check_convertible(graph: Segment, shapes: Mapping[str, Shape]) -> None:
    """Raises UnsupportedPoint for an operator without LiteRT form. Of weights it needs the `shapes` alone."""
    empty = Weights(lambda name: np.broadcast_to(np.float32(0), shapes[name]), _no_codes)
    _ModelBuilder(Arithmetic(), empty, EmptyModelBuilder("empty")).convert(graph)


def _no_codes(name: str) -> QuantizedWeight:
    raise AssertionError(f"{name}: nothing is in int8 here")


class _ModelBuilder:
    def __init__(self, arithmetic: Arithmetic, weights: Weights, model: ModelBuilder) -> None:
        self._arithmetic = arithmetic
        self._weights = weights
        self._model = model
        self._build = GraphBuilder(self._model, weights.array)

    def build(self, stage: Stage) -> Model:
        build = self._build
        shape = (1, *stage.shape)
        params = None if stage.enters else self._arithmetic.params_of.get(stage.into)
        given = build.new(shape, channels_last(len(shape)), params)
        value = self._stored(stage.into, "", given) if stage.enters else given
        before: Value | None = None
        for run in stage.runs:
            before = value if run.subgraph.is_block else before
            value = value if run.graph is None else self._graph(run, value)
        outputs: list[int] = []

        def give(tensor: int) -> int:
            outputs.append(tensor)
            return len(outputs) - 1

        answer = best_two = score = carried = seen = compared = None
        answered: Value | None = None
        if stage.leaving is not None:
            assert stage.leaving.exit_head is not None  # noqa: S101 - samples leave by a head
            answered = build.floats(self._graph(Run(stage.leaving, stage.leaving.exit_head), value))
            best_two = give(emit_best_two(build, build.laid_out(answered, plain(len(answered.shape)))))
        if stage.answers:
            answered = build.floats(value)
        if answered is not None:
            answer = give(self._own(answered, given).tensor)
        if stage.gated is not None:
            x = build.floats(value)
            if self._arithmetic.activity.looks_back:
                seen = give(self._own(build.laid_out(x, channels_last(len(x.shape))), given).tensor)
                if before is not None:
                    x = build.floats(before)
                    compared = give(self._own(build.laid_out(x, channels_last(len(x.shape))), given).tensor)
            else:
                score = give(emit_score(build, self._arithmetic.activity, x, stage.gated.never_negative))
        # A permuted value is the same tensor, with its axes in another order.
        if not stage.answers and (value.tensor, value.order) != (given.tensor, given.order):
            value = build.laid_out(value, channels_last(len(value.shape)))
            carried = give(value.tensor)
        data = self._model.finish([given.tensor], outputs)
        axes = None if answered is None or answered.order == plain(len(answered.order)) else answered.order
        return Model(data, given.order, answer, axes, best_two, score, carried, seen, compared)

    def convert(self, graph: Segment) -> None:
        """Emit a graph as it is, from its input in float32 on."""
        shape = (1, *graph.input_shape)
        self._graph(Run(Subgraph(graph, "", graph), graph), self._build.new(shape, channels_last(len(shape))))

    def _own(self, value: Value, given: Value) -> Value:
        """A tensor of its own: what comes in can't be what goes out."""
        if value.tensor != given.tensor:
            return value
        return self._build.copied(value)

    def _graph(self, run: Run, value: Value) -> Value:
        """Emit a graph's nodes; gives its output as it is stored: codes where it has parameters."""
        graph = run.graph
        assert graph is not None  # noqa: S101 - the caller passes by what has none
        build = self._build
        build.values = {INPUT: value}
        readers = only_readers(graph)
        fused: set[str] = set()
        for node in graph.nodes:
            if node.name in fused:
                continue
            reader = readers.get(node.name)
            clamp = reader if reader is not None and is_clamp(reader) else None
            build.values[node.name], with_clamp = self._node(_Place(run.subgraph, graph, node), clamp)
            if with_clamp and clamp is not None:
                place = _Place(run.subgraph, graph, clamp)
                build.values[clamp.name] = self._stored(place.name, place.emitted, build.values[node.name])
                fused.add(clamp.name)
        return build.values[graph.nodes[-1].name]

    def _node(self, place: "_Place", clamp: Node | None) -> tuple[Value, bool]:
        """The node's value as it is stored, and whether the clamp behind it is in it."""
        build, node = self._build, place.node
        target = self._arithmetic.params_of.get(place.name)
        fused: Node | None = None
        if target is None and clamp is not None and place.emitted not in self._arithmetic.adapted:
            # The plan keeps no codes of what only a clamp reads: a kernel clamps on its way out.
            target = self._arithmetic.params_of.get(_Place(place.subgraph, place.graph, clamp).name)
            fused = clamp if target is not None else None
        computed = None if target is None else self._on_codes(node, target, fused)
        if computed is not None:
            return (computed, True) if fused else (self._stored(place.name, place.emitted, computed), False)
        build.on_codes = False
        return self._stored(place.name, place.emitted, self._on_floats(node)), False

    def _on_codes(self, node: Node, target: QuantParams, fused: Node | None) -> Value | None:
        """The node from codes to codes, with the clamp behind it; None where LiteRT has no integers for it."""
        build = self._build
        build.on_codes = True
        activation = NONE if fused is None else _activation(fused)
        sources = [build.values[name] for name in node.operands]
        if any(source.params is None for source in sources) or has_strange_arguments(node):
            return None
        kind = _FUSED_BINARY.get(node.operator)
        if self._is_int8_layer(node):
            weight = self._weights.codes(next(node.weights()).weight)
            computed = emit_int8_layer(build, node, sources[0], weight, target, activation)
        elif any(isinstance(leaf, Weight) for leaf in node.leaves) or not CONVERTERS[node.operator].on_integers:
            return None
        elif kind is not None:
            computed = emit_binary(build, node, kind, target, activation)
        else:
            computed, activation = build.codes(convert(build, node, target), target), NONE
        return computed if fused is None or activation != NONE else self._clamped(computed, fused)

    def _on_floats(self, node: Node) -> Value:
        """The node in float32: an int8 layer too, on the values of its codes or quantizing them row by row."""
        if not self._is_int8_layer(node):
            return convert(self._build, node)
        name = next(node.weights()).weight
        weight = self._weights.codes(name)
        if node.operator in DYNAMIC:
            return emit_dynamic_layer(self._build, node, weight)
        wide = weight.codes * weight.scales.reshape(-1, *[1] * (weight.codes.ndim - 1))
        with self._build.instead_of(name, wide):
            return convert(self._build, node)

    def _is_int8_layer(self, node: Node) -> bool:
        return node.layer in self._arithmetic.codes and is_quantizable_layer(node)

    def _clamped(self, value: Value, clamp: Node) -> Value:
        """Codes cut off at a clamp's bounds."""
        params = value.params
        assert params is not None  # noqa: S101 - these are codes
        for kind, bound in zip(("MAXIMUM", "MINIMUM"), _bounds(clamp), strict=True):
            code = params.zero_point + (round(bound / params.scale) if math.isfinite(bound) else LEVELS + 1)
            if 0 < code < LEVELS:
                end = self._model.fixed(f"end{value.tensor}", np.asarray(code - SIGNED, np.int8), params)
                out = self._build.new(value.shape, value.order, params)
                value = self._build.emit(kind, [value.tensor, end], out, options("MaximumMinimum"))
        return value

    def _stored(self, name: str, emitted: str, value: Value) -> Value:
        """A fresh value after its AA-ReLU, as codes where it has parameters."""
        adapted = self._arithmetic.adapted.get(emitted)
        if adapted is not None:
            value = emit_adapted(self._build, self._build.floats(value), adapted)
        params = self._arithmetic.params_of.get(name)
        return value if params is None else self._build.codes(value, params)


@dataclass(frozen=True, slots=True)
class _Place:
    """A node where it stands."""

    subgraph: Subgraph
    graph: Segment
    node: Node

    @property
    def name(self) -> str:
        """Of its value in the plan."""
        return self.subgraph.tensor(self.graph, self.node.name)

    @property
    def emitted(self) -> str:
        """Of its value in its own graph, which AA-ReLU goes by."""
        return f"{self.graph.name}/{self.node.name}"


def _bounds(clamp: Node) -> tuple[float, float]:
    if clamp.operator == RELU_OPERATOR:
        return 0.0, math.inf
    low, high = (float(str(each)) for each in (*clamp.args[1:], *(-1.0, 1.0)[len(clamp.args) - 1 :]))
    return low, high


def _activation(clamp: Node) -> int:
    return {(0.0, math.inf): RELU, (0.0, 6.0): RELU6}.get(_bounds(clamp), NONE)
