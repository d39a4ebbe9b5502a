"""A partition as one ONNX graph: plain subgraphs in a row, gated ones in an `If` with a stand-in as else."""

from collections.abc import Sequence

import numpy as np

from tidegate.engines.onnxruntime.adapted import emit_on_codes, emit_on_floats
from tidegate.engines.onnxruntime.converters import convert
from tidegate.engines.onnxruntime.gate import emit_mean_of_codes, emit_score
from tidegate.engines.onnxruntime.graph_builder import GraphBuilder
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.int8_layer import emit_int8_layer
from tidegate.engines.onnxruntime.protobuf import (
    ElementType,
    OnnxGraph,
    OnnxNode,
    TensorValue,
    ValueInfo,
    constants_of,
)
from tidegate.engines.plan.adapted import works_on_codes
from tidegate.engines.plan.arithmetic import Arithmetic
from tidegate.engines.plan.execution import Subgraph
from tidegate.engines.plan.partitions import Partition
from tidegate.engines.plan.tensors import is_quantizable_layer
from tidegate.models.graph import INPUT, Ref, Segment, Weight
from tidegate.models.ladder import Activity
from tidegate.models.network import Shape

X = "x"
"""What comes in: the batch, or the value that another partition carried on."""
Y = "y"
"""The answers; where samples may leave, those of the exit's head."""
CARRIED = "carried"
"""Where samples may leave: the value that the next partition takes."""
BEST_TWO = "best_two"
"""Where samples may leave: the best and the second-best probability, (samples, 2)."""
TAU = "tau"
RAN = "ran"
"""Of gated partitions: a threshold per gate goes in, and whether each block ran comes out; both (gates,)."""
PREVIOUS = "previous"
"""The input of the block before, where a gate wants it: into a partition, and out of the one before it."""
FRAME, FRESH, SEEN = "frame", "fresh", "seen"
"""`frame/BLOCK` and `seen/BLOCK`: a gate's input at the last frame and at this one; `fresh` (gates,): which gates
have seen none yet."""


_TO_NHWC, _TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def build_graph(
    partition: Partition,
    arithmetic: Arithmetic,
    initializers: Initializers,
    *,
    keep_previous: bool = False,
) -> OnnxGraph:
    """The partition as a graph from X to Y. One with gates is for one sample at a time.

    `keep_previous` gives the last block's input as PREVIOUS. Raises UnsupportedPoint for an operator without ONNX
    form.
    """
    return PartitionBuilder(partition, arithmetic, initializers).build(keep_previous)


def looks_back(partition: Partition, arithmetic: Arithmetic) -> bool:
    """Whether the partition's first gate wants PREVIOUS from the partition before."""
    return arithmetic.activity is Activity.BLOCK_CHANGE and partition.first.gated


class PartitionBuilder:
    """Builds one partition from its segments' nodes. `nchwc` has one that builds it from optimized subgraphs."""

    def __init__(self, partition: Partition, arithmetic: Arithmetic, initializers: Initializers) -> None:
        self._partition = partition
        self._arithmetic = arithmetic
        self._initializers = initializers
        self._params_of = arithmetic.params_of
        self._gated = partition.gated
        self._floats: dict[str, None] = {}
        self._build = GraphBuilder("", {})
        self._inputs: list[ValueInfo] = []
        self._outputs: list[ValueInfo] = []

    def build(self, keep_previous: bool = False) -> OnnxGraph:
        """For the arguments see `build_graph`."""
        value = self._entered()
        before: tuple[Subgraph, str] | None = None
        for subgraph in self._partition.subgraphs:
            out = self._emit_subgraph(subgraph, value, before)
            if subgraph.is_block:
                before = subgraph, value
            value = out
        if self._gated:
            self._build.emit("Concat", [f"{subgraph.name}/open" for subgraph in self._gated], RAN, axis=0)
            self._outputs.append(ValueInfo(RAN, ElementType.BOOL, (len(self._gated),)))
        if keep_previous and before is not None:
            subgraph, taken = before
            self._give_float(subgraph.input_name, taken, PREVIOUS, subgraph.shape)
        leaving = self._partition.leaving
        if leaving is None:
            last = self._partition.subgraphs[-1]
            self._give_float(last.output_name, value, Y, None)
        else:
            self._exit(leaving, value)
        build = self._build
        constants = [*constants_of(build.constants), *build.tensors, *self._initializers.floats(self._floats)]
        return OnnxGraph("partition", build.nodes, self._inputs, self._outputs, constants)

    def _entered(self) -> str:
        """Declare what comes in; gives the first value's name, as codes where it has parameters."""
        first = self._partition.first
        value = X
        if not self._partition.enters and first.input_name in self._params_of:
            self._inputs.append(ValueInfo(X, ElementType.UINT8, self._carried_shape(first)))
            if self._is_turned(first):
                value = self._build.emit("Transpose", [X], "entrance/back", perm=_TO_NCHW)
        else:
            self._inputs.append(ValueInfo(X, ElementType.FLOAT, ("batch", *first.shape)))
            value = self._leave(self._build, first.input_name, X, "entrance")
        count = len(self._gated)
        if count:
            self._inputs.append(ValueInfo(TAU, ElementType.FLOAT, (count,)))
            self._split(TAU)
        if looks_back(self._partition, self._arithmetic):
            self._inputs.append(ValueInfo(PREVIOUS, ElementType.FLOAT, (1, *first.shape)))
        if self._arithmetic.activity is Activity.FRAME_CHANGE and count:
            self._inputs.append(ValueInfo(FRESH, ElementType.BOOL, (count,)))
            self._split(FRESH)
            for subgraph in self._gated:
                self._inputs.append(ValueInfo(f"{FRAME}/{subgraph.name}", ElementType.FLOAT, (1, *subgraph.shape)))
                self._outputs.append(ValueInfo(f"{SEEN}/{subgraph.name}", ElementType.FLOAT, (1, *subgraph.shape)))
        return value

    def _split(self, name: str) -> None:
        partitions = tuple(f"{name}/{subgraph.name}" for subgraph in self._gated)
        self._build.nodes.append(
            OnnxNode("Split", (name,), partitions, {"axis": 0, "num_outputs": len(partitions)})
        )

    def _give_float(self, name: str, value: str, output: str, shape: Shape | None) -> None:
        self._build.emit("Identity", [self._read(self._build, name, value, f"{output}/float")], output)
        sizes: tuple[int | str, ...] | None = None if shape is None else ("batch", *shape)
        self._outputs.append(ValueInfo(output, ElementType.FLOAT, sizes))

    def _exit(self, leaving: Subgraph, value: str) -> None:
        """The head's answers with their two best probabilities, and the value for the samples that stay."""
        assert leaving.exit_head is not None  # noqa: S101 - samples leave by a head
        top = self._build
        answers = self._graph(top, leaving, leaving.exit_head, value)
        top.emit("Identity", [answers], Y)
        shares = top.emit("Softmax", [answers], f"{BEST_TWO}/shares", axis=1)
        two = top.constant(f"{BEST_TWO}/count", np.asarray([2], np.int64))
        top.nodes.append(OnnxNode("TopK", (shares, two), (BEST_TWO, f"{BEST_TWO}/which"), {"axis": 1}))
        if self._is_turned(leaving):
            top.emit("Transpose", [value], CARRIED, perm=_TO_NHWC)
        else:
            top.emit("Identity", [value], CARRIED)
        kind = ElementType.UINT8 if leaving.input_name in self._params_of else ElementType.FLOAT
        self._outputs += [
            ValueInfo(Y, ElementType.FLOAT, None),
            ValueInfo(BEST_TWO, ElementType.FLOAT, ("batch", 2)),
            ValueInfo(CARRIED, kind, self._carried_shape(leaving)),
        ]

    def _emit_subgraph(self, subgraph: Subgraph, value: str, before: tuple[Subgraph, str] | None) -> str:
        if subgraph.gated:
            turned = self._is_turned(subgraph) and subgraph.output_name in self._params_of
            given = value
            if turned:
                value = self._build.emit("Transpose", [value], f"{subgraph.name}/turned", perm=_TO_NHWC)
            # What a change is measured against has the channels first.
            looks_back = self._arithmetic.activity.looks_back
            channels, *sizes = subgraph.shape
            shape = (*sizes, channels) if turned else subgraph.shape
            self._gate(subgraph, given if looks_back else value, shape, before)
            result = self._either(subgraph, value, turned)
            if turned:
                result = self._build.emit("Transpose", [result], f"{subgraph.name}/back", perm=_TO_NCHW)
            return result
        return value if subgraph.graph is None else self._graph(self._build, subgraph, subgraph.graph, value)

    def _gate(self, subgraph: Subgraph, value: str, shape: Shape, before: tuple[Subgraph, str] | None) -> None:
        """Emit `NAME/open`: whether the subgraph's input scores above its threshold. `shape` is as codes lie."""
        build = GraphBuilder(f"{subgraph.name}/gate", {})
        activity = self._arithmetic.activity
        params = self._params_of.get(subgraph.input_name)
        if activity is Activity.MEAN_ABS and params is not None and params.zero_point == 0:
            score = emit_mean_of_codes(build, value, shape, params.scale)
        else:
            score = self._float_score(build, subgraph, value, before)
        fresh = activity is Activity.FRAME_CHANGE
        is_open = f"{subgraph.name}/above" if fresh else f"{subgraph.name}/open"
        build.emit("Greater", [score, f"{TAU}/{subgraph.name}"], is_open)
        if fresh:
            build.emit("Or", [is_open, f"{FRESH}/{subgraph.name}"], f"{subgraph.name}/open")
        self._build.nodes += build.nodes
        self._build.constants |= build.constants

    def _float_score(
        self, build: GraphBuilder, subgraph: Subgraph, value: str, before: tuple[Subgraph, str] | None
    ) -> str:
        x = self._read(build, subgraph.input_name, value, f"{subgraph.name}/gate/x")
        activity = self._arithmetic.activity
        other = ""
        if activity is Activity.FRAME_CHANGE:
            other = f"{FRAME}/{subgraph.name}"
            build.emit("Identity", [x], f"{SEEN}/{subgraph.name}")
        elif activity is Activity.BLOCK_CHANGE:
            other = PREVIOUS
            if before is not None:
                other = self._read(build, before[0].input_name, before[1], f"{subgraph.name}/gate/previous")
        rank = 1 + len(subgraph.shape)
        return emit_score(build, activity, x, rank, before=other, never_negative=subgraph.never_negative)

    def _is_turned(self, subgraph: Subgraph) -> bool:
        """Whether its input crosses the border of an `If` or a partition with the channels last.

        ONNX Runtime's integer kernels want codes so. It turns them once and leaves them, but can't see across.
        """
        return len(subgraph.shape) == 3 and subgraph.input_name in self._params_of

    def _carried_shape(self, subgraph: Subgraph) -> tuple[int | str, ...]:
        channels, *sizes = subgraph.shape
        return ("batch", *sizes, channels) if self._is_turned(subgraph) else ("batch", *subgraph.shape)

    def _either(self, subgraph: Subgraph, value: str, turned: bool) -> str:
        """The block or what stands in for it; gives the name of what comes out."""
        assert subgraph.graph is not None  # noqa: S101 - a gated subgraph has a block to run
        kind = ElementType.UINT8 if subgraph.output_name in self._params_of else ElementType.FLOAT
        if subgraph.stand_in is None:
            passed = GraphBuilder(f"{subgraph.name}/passed", {})
            shut = branch(passed, passed.emit("Identity", [value], f"{subgraph.name}/passed/x"), kind)
        else:
            shut = self._inside(subgraph, subgraph.stand_in, value, kind, turned)
        branches = {
            "then_branch": self._inside(subgraph, subgraph.graph, value, kind, turned),
            "else_branch": shut,
        }
        self._build.nodes.append(
            OnnxNode("If", (f"{subgraph.name}/open",), (f"{subgraph.name}/result",), branches)
        )
        return f"{subgraph.name}/result"

    def _inside(
        self, subgraph: Subgraph, graph: Segment, value: str, kind: ElementType, turned: bool
    ) -> OnnxGraph:
        """The graph as a branch, with its weights: ONNX Runtime lays out and fuses only what is in one graph."""
        inner = GraphBuilder(graph.name, {})
        outer, self._floats = self._floats, {}
        if turned:
            value = inner.emit("Transpose", [value], f"{graph.name}/inside/taken", perm=_TO_NCHW)
        computed = self._graph(inner, subgraph, graph, value)
        if turned:
            computed = inner.emit("Transpose", [computed], f"{graph.name}/inside/given", perm=_TO_NHWC)
        floats = self._initializers.floats(self._floats)
        self._floats = outer
        return branch(inner, computed, kind, floats)

    def _graph(self, build: GraphBuilder, subgraph: Subgraph, graph: Segment, value: str) -> str:
        """Emit a graph's nodes; gives the name of its output as it leaves (codes where it has parameters)."""
        build.shapes = {INPUT: graph.input_shape} | {node.name: node.shape for node in graph.nodes}
        build.values = {INPUT: self._read(build, subgraph.input_name, value, f"{graph.name}/input")}
        last = value
        for node in graph.nodes:
            emitted = f"{graph.name}/{node.name}"
            if node.layer in self._arithmetic.codes and is_quantizable_layer(node):
                source = node.args[0]
                assert isinstance(source, Ref)  # noqa: S101 - a layer's first argument
                params = self._params_of[subgraph.tensor(graph, source.ref)]
                emit_int8_layer(build, node, emitted, params.scale, self._initializers)
            else:
                self._floats |= dict.fromkeys(leaf.weight for leaf in node.leaves if isinstance(leaf, Weight))
                tensors = {subgraph.tensor(graph, each) for each in (node.name, *node.operands)}
                build.on_codes = tensors <= self._params_of.keys()
                convert(build, node, emitted)
            name = subgraph.tensor(graph, node.name)
            last = self._leave(build, name, emitted, emitted)
            # ONNX Runtime computes what nobody reads: nobody here reads the last value.
            if node is not graph.nodes[-1]:
                build.values[node.name] = self._read(build, name, last, f"{emitted}/read")
        return last

    def _leave(self, build: GraphBuilder, name: str, value: str, emitted: str) -> str:
        """A fresh value after its AA-ReLU, as codes where it has parameters."""
        adapted = self._arithmetic.adapted.get(emitted)
        params = self._params_of.get(name)
        if adapted is not None and (params is None or not works_on_codes(adapted, params)):
            value = emit_on_floats(build, value, adapted, emitted)
            adapted = None
        if params is None:
            return value
        codes = build.emit("QuantizeLinear", [value, *self._params_constants(name)], f"{emitted}/codes")
        return codes if adapted is None else emit_on_codes(build, codes, adapted, params, emitted)

    def _read(self, build: GraphBuilder, name: str, value: str, as_name: str) -> str:
        """The value in float32."""
        if name not in self._params_of:
            return value
        return build.emit("DequantizeLinear", [value, *self._params_constants(name)], as_name)

    def _params_constants(self, name: str) -> tuple[str, str]:
        return self._build.params(f"{name}/params", self._params_of[name])


def branch(build: GraphBuilder, output: str, kind: ElementType, floats: Sequence[TensorValue] = ()) -> OnnxGraph:
    """What was collected in a build as a branch of an `If`."""
    constants = [*constants_of(build.constants), *build.tensors, *floats]
    return OnnxGraph(build.name, build.nodes, (), (ValueInfo(output, kind, None),), constants)
